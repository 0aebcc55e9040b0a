"""Make the gallery again: `python reports/gallery/make.py` (two minutes on two cores)."""

from pathlib import Path
from shutil import copyfile
from subprocess import run

from probe import figures
from probe.interface import reopen

PROBES = ("rotation", "phase", "plane_wave", "transfer")
GALLERY = {"lpt2nbody": "zoo:lpt2nbody", "zero_padding": "zoo:defect/zero_padding"}
HERE = Path(__file__).parent.resolve()


def main() -> None:
    """Ask each model, keep its report, and draw the README's figure."""
    for name, model in GALLERY.items():
        folder = HERE.parent / name
        run(["probe", "run", *PROBES, "--model", model, "--out", str(folder.relative_to(Path.cwd())), "--overwrite"], check=False)
        copyfile(folder / "report.html", HERE / f"{name}.html")
    panel = reopen(HERE.parent / "lpt2nbody")["plane_wave"].panels()[0]
    with figures.house_style():
        dict(panel.figures)["level 0.5"].savefig(HERE / "plane_wave.png", dpi=110, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
