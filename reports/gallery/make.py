"""Make the gallery again: `python reports/gallery/make.py` (ten minutes on two cores)."""

from pathlib import Path
from shutil import copyfile
from subprocess import run

from probe import figures
from probe.interface import reopen

# Report: the model, and what it is asked.
GALLERY = {
    "lpt2nbody_waves": ("zoo:lpt2nbody", ["null", "plane_wave", "two_waves", "transverse", "amplitude"]),
    "lpt2nbody_gravity": ("zoo:lpt2nbody", ["spherical", "cosmology", "transfer_matrix"]),
    "lpt2nbody_symmetry": ("zoo:lpt2nbody", ["symmetry"]),
    "zero_padding": ("zoo:defect/zero_padding", ["rotation", "phase", "plane_wave", "certificate"]),
    "burgers_fno": ("zoo:burgers_fno", ["plane_wave", "two_waves", "phase", "conservation", "transfer"]),
}
HERE = Path(__file__).parent.resolve()


def main() -> None:
    """Ask each model, keep its report, and draw the README's figure."""
    for name, (model, probes) in GALLERY.items():
        folder = HERE.parent / name
        run(["probe", "run", *probes, "--model", model, "--out", str(folder.relative_to(Path.cwd())), "--overwrite"], check=False)
        copyfile(folder / "report.html", HERE / f"{name}.html")
    panel = reopen(HERE.parent / "lpt2nbody_waves")["plane_wave"].panels()[0]
    with figures.house_style():
        dict(panel.figures)["level 0.5"].savefig(HERE / "plane_wave.png", dpi=110, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
