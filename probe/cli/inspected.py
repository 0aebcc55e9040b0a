"""What `probe inspect` found, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from probe.loading import Inspection
    from probe.loading.anatomy import ExportedTensor
    from probe.model.findings import Batching, Examination, Gradients, Repetition, Sizes
    from probe.model.receptive_field import Reach, ReceptiveField

_SHOWN = 24  # lines of a list; of a longer one the first and the last


def file_lines(found: Inspection, everything: bool) -> Iterator[str]:
    """A file, without what it lacks; `everything` leaves out no tensor and no member."""
    yield f"{found.path}: {found.format}, {found.size} bytes, sha256 {found.sha256[:16]}..."
    if len(found.sets) > 1:
        yield "sets of tensors, which `weights` in a description chooses among: those shown are likely the network's"
        shown = [f"  {place or '(the file itself)'}  {count} tensors" for place, count in found.sets.items()]
        yield from _elided(shown, everything)
    if found.tensors:
        width = min(60, max(len(tensor.name) for tensor in found.tensors))
        shown = [f"  {t.name:<{width}}  {_by(t.shape) or 'one number'}  {t.dtype}" for t in found.tensors]
        yield from _elided(shown, everything)
        precisions = ", ".join(f"{count} {name}" for name, count in found.precisions.items())
        yield f"{len(found.tensors)} tensors, {found.numbers} numbers ({precisions})"
    else:
        yield from _elided([f"  {member.name}  {member.size} bytes" for member in found.members], everything)
        if found.imports:
            yield "loading it imports"
            yield from _elided([f"  {name}" for name in found.imports], everything)
    yield from (f"metadata: {key} = {value}" for key, value in found.metadata.items())
    yield from _signature("takes", found.inputs)
    yield from _signature("gives", found.outputs)
    if found.dimension:
        yield f"likely {found.dimension}-dimensional, {found.channels_in} channels in and {found.channels_out} out"


def model_lines(found: Examination, guessed: Sequence[str]) -> Iterator[str]:
    """A model that was run."""
    yield f"{found.network} on {found.device} in {found.dtype}, {found.parameters} parameters"
    yield from (f"  {layer.count:>4} {layer.name:<24} {layer.parameters} parameters" for layer in found.layers)
    yield from _behaviour(found) if found.cost else ()
    yield from (f"note: {note}" for note in found.notes)
    yield from (f"not found out: {fault}" for fault in found.faults)
    yield from (f"guessed: {guess}" for guess in guessed)
    if found.fault:
        yield f"probes cannot ask it as it stands: {found.fault}"


def _behaviour(found: Examination) -> Iterator[str]:
    """What it does when it is run, a line each."""
    told = {
        "stride": str(found.stride),
        "sizes": _sizes(found.sizes),
        "receptive field": _receptive_field(found.receptive_field),
        "batches": _batching(found.batching),
        "same input again": _repetition(found.repetition),
        "its input": "is written into" if found.writes_into_input else "is left as it is",
        "gradients": _gradients(found.gradients),
        "answers": ", ".join(
            f"rms {a.rms:.3g} to {a.input}" if a.rms is not None else f"NaN or infinity to {a.input}" for a in found.answers
        ),
        "one pass": f"{found.cost.seconds:.3g} s, {_bytes(found.cost.bytes)} of tensors on the way" if found.cost else "",
    }
    yield from (f"{name:<17} {words}" for name, words in told.items() if words)


def _elided(lines: list[str], everything: bool) -> list[str]:
    if everything or len(lines) <= _SHOWN:
        return lines
    half = _SHOWN // 2
    return [*lines[:half], f"  ... {len(lines) - 2 * half} more (--all shows them)", *lines[-half:]]


def _signature(verb: str, tensors: tuple[ExportedTensor, ...]) -> Iterator[str]:
    for tensor in tensors:
        yield f"{verb} {tensor.name}: {_by(['any' if side is None else side for side in tensor.shape])}"


def _sizes(sizes: Sizes | None) -> str:
    if sizes is None:
        return ""
    words = [f"{_by(sizes.given)} in, {_by(sizes.answered)} out"]
    if any(sizes.lost):
        words.append(f"{_by(sizes.lost)} lost for want of padding")
    if sizes.step:
        words.append("any around it" if sizes.step == 1 else f"sides may change by {sizes.step}")
    else:
        words.append("no other tried is taken")
    return "; ".join(words)


def _receptive_field(field: ReceptiveField | None) -> str:
    if field is None:
        return ""
    by_axis = {reach.axis: _reach(reach) for reach in field.axes}
    alike = len(set(by_axis.values())) == 1
    words = _reach(field.axes[0]) if alike else "; ".join(f"{axis}: {told}" for axis, told in by_axis.items())
    return f"{words} ({field.method})"


def _reach(reach: Reach) -> str:
    if reach.left is None or reach.right is None:
        return "the whole box"
    lengths = "" if reach.unit == "cell" else f", {reach.left_length:.4g} and {reach.right_length:.4g} {reach.unit}"
    beyond = "; as much as the box or more" if reach.whole_box else ""
    return f"{reach.left} cells back and {reach.right} on{lengths}{beyond}"


def _batching(batching: Batching | None) -> str:
    if batching is None:
        return ""
    words = [f"{', '.join(map(str, batching.taken)) or 'none'} at once taken"]
    if batching.refused:
        words.append(f"{', '.join(map(str, batching.refused))} refused")
    if batching.neighbours_matter is not None:
        words.append(f"a sample's answer {'depends' if batching.neighbours_matter else 'does not depend'} on its neighbours")
    return "; ".join(words)


def _repetition(repetition: Repetition | None) -> str:
    if repetition is None:
        return ""
    if not repetition.same:
        return f"another answer, by {100 * repetition.difference:.2g} %: it is random in eval mode"
    if repetition.keeps_state:
        return "the same answer, but another one after something else: it keeps a state"
    return "the same answer, bit by bit"


def _gradients(gradients: Gradients | None) -> str:
    if gradients is None:
        return "none: it is no function of tensors, or did not run"
    words = ["reach the input" if gradients.reach_input else "do not reach the input"]
    if not gradients.finite:
        words.append("are not all finite")
    if gradients.without:
        names = ", ".join(gradients.without[:4]) + (", ..." if len(gradients.without) > 4 else "")
        words.append(f"do not reach {len(gradients.without)} parameters ({names})")
    if gradients.frozen:
        words.append(f"{gradients.frozen} parameters are frozen")
    return ", ".join(words)


def _by(shape: Iterable[object]) -> str:
    return "x".join(map(str, shape))


def _bytes(count: int) -> str:
    return f"{count / 2**20:.3g} MiB"
