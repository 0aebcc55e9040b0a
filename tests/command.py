"""The command line in tests, and a folder to use it in."""

from __future__ import annotations

from click.testing import CliRunner

from probe.cli import main

# A network that keeps what it is given, and its wrong brothers, whose weights have the same names and shapes.
NETWORK = """
import torch

class Net(torch.nn.Module):
    def __init__(self, channels=1):
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular", bias=False)
        self.calls = 0
    def forward(self, x):
        return x + 0.0 * self.conv(x)

class Nan(Net):
    def forward(self, x):
        return self.conv(x) * float("nan")

class Tuple(Net):
    def forward(self, x):
        return x, x

class Dict(Net):
    def forward(self, x):
        return {"field": x}

class Shape(Net):
    def forward(self, x):
        return x[..., ::2]

class Channels(Net):
    def forward(self, x):
        return torch.cat([x, x], 1)

class Writes(Net):
    def forward(self, x):
        x *= 2
        return x

class Raises(Net):
    def forward(self, x):
        raise ValueError("no field is good enough for me")

class Memory(Net):
    def forward(self, x):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

class OneByOne(Net):
    def forward(self, x):
        if len(x) > 1:
            raise ValueError("one at a time, please")
        return super().forward(x)

class SmallMemory(Net):
    def forward(self, x):
        if len(x) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(x)

class Random(Net):
    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.1)

class Remembers(Net):
    def forward(self, x):
        last, self.last = getattr(self, "last", x[:1]), x[:1].clone()
        return x + 0.0 * self.conv(x) + 0.1 * last
"""


def call(*words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `probe` with these words; anything unforeseen is raised."""
    done = CliRunner().invoke(main, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert "probe: unexpected" not in done.stderr, done.stderr
    return done.exit_code, done.stdout, done.stderr
