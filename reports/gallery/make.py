"""Make the gallery again: `python reports/gallery/make.py [NAME...]`; all of it in twenty minutes on two cores."""

import sys
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
    "lpt2nbody_statistics": ("zoo:lpt2nbody", ["transfer", "one_point"]),
    "omega_m_attribution": ("zoo:omega_m", ["attribution"]),
    "ive_halos_representation": ("zoo:ive_halos", ["representation", "--set", "traversal.points=4"]),
    "burgers_fno": ("zoo:burgers_fno", ["plane_wave", "two_waves", "phase", "conservation", "transfer"]),
}
HERE = Path(__file__).parent.resolve()


def main() -> None:
    """Ask each model, or those named, keep its report, and draw the README's figure."""
    chosen = sys.argv[1:] or list(GALLERY)
    for name, (model, probes) in ((name, GALLERY[name]) for name in chosen):
        folder = HERE.parent / name
        run(["probe", "run", *probes, "--model", model, "--out", str(folder.relative_to(Path.cwd())), "--overwrite"], check=False)
        copyfile(folder / "report.html", HERE / f"{name}.html")
    if "lpt2nbody_waves" not in chosen:
        return
    panel = reopen(HERE.parent / "lpt2nbody_waves")["plane_wave"].panels()[0]
    with figures.house_style():
        dict(panel.figures)["level 0.5"].savefig(HERE / "plane_wave.png", dpi=110, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
