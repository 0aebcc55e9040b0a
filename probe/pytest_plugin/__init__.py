"""pytest's face: `pytest --probe-model ckpt.pt` asks a model without a test file, and every test of a probe tells its numbers.

pytest loads this in every project where the package is installed, so it imports nothing until a model is given or a test
of a probe is there.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from probe.testing import HeldToBaseline, LazyRun, ProbeCheck

# Options of the command line, --probe-NAME, and keys of the configuration, probe_NAME.
TEXTS = {
    "model": "ask this model: a checkpoint, `module:function`, or `zoo:NAME`",
    "spec": "its description, a TOML file",
    "factory": "`module:object` that makes the network whose weights are given",
    "data": "folder of pairs of input and truth",
    "out": "where the run and its report go (default: reports/<model>-<hash>)",
    "controls": "all, none, or names separated by commas (default: all)",
    "effort": "quick, default or full",
    "device": "auto, cpu or cuda",
    "batch-size": "samples in one forward pass, or auto",
    "seed": "of every random number (default: 0)",
    "baseline": "record of an earlier run that this one may not fall behind; written where there is none",
    "baseline-tolerance": "relative worsening against it that is let pass where nothing was sampled (default: 0.01)",
}
FLAGS = {
    "strict": "count inconclusive checks as failed",
    "trust-pickle": "load files that run code when they are loaded",
    "resume": "go on with a run that is there; nothing done is done again",
    "overwrite": "replace a run that is there, whoever wrote it",
    "baseline-update": "record the run in the baseline in place of the earlier one; of test files as well",
}
LISTS = {
    "set": ("PROBE.PARAMETER=VALUE", "set a parameter; `probe explain PROBE` lists them"),
    "expect": ("PROBE/CHECK=REASON", "a failure that is expected, and why"),
}


def key(name: str) -> str:
    """An option as a key of the configuration: `batch-size` is `probe_batch_size`."""
    return f"probe_{name.replace('-', '_')}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `probe run`, each a key of the configuration too."""
    group = parser.getgroup("probe", "physical questions for a trained network")
    words = "ask this probe, suite or all (default: all); may be repeated"
    group.addoption("--probe", action="append", dest=key("names"), metavar="PROBE", help=words)
    parser.addini(key("names"), "probes, suites or all", type="linelist")
    for name, words in TEXTS.items():
        group.addoption(f"--probe-{name}", dest=key(name), metavar=name.upper(), help=words)
        parser.addini(key(name), words)
    for name, words in FLAGS.items():
        group.addoption(f"--probe-{name}", dest=key(name), action="store_true", default=None, help=words)
        parser.addini(key(name), words, type="bool", default=False)
    for name, (metavar, words) in LISTS.items():
        group.addoption(f"--probe-{name}", dest=key(name), action="append", metavar=metavar, help=f"{words}; may be repeated")
        parser.addini(key(name), f"{metavar}: {words}", type="linelist")


def pytest_configure(config: pytest.Config) -> None:
    """Read what is asked; nothing is loaded yet."""
    config.addinivalue_line("markers", "probe: a check of a probe on a model, one test each")
    session = ProbeSession(config)
    if _asks(config):
        from probe.errors import InputError
        from probe.pytest_plugin.options import checks_wanted

        try:
            session.asked, session.reasons, session.held = checks_wanted(config)
        except InputError as fault:
            raise pytest.UsageError(str(fault)) from None
    config.pluginmanager.register(session, "probe-session")


def _asks(config: pytest.Config) -> bool:
    """Whether a model is asked: one that the configuration names is left alone where somebody asks for tests of their own."""
    if hasattr(config, "workerinput"):
        return bool(config.workerinput["probe_asked"])  # a worker of pytest-xdist is given arguments in any case
    named = config.getini(key("model")) and config.args_source != pytest.Config.ArgsSource.ARGS
    return bool(config.getoption(key("model")) or named)


class ProbeSession:
    """What one session of pytest asks of models, and what it finds.

    Attributes
    ----------
    asked : list of ProbeCheck
        The checks of --probe-model.
    reasons : dict of str to str
        Why those of them that are expected to fail do.
    held : HeldToBaseline, optional
        Their comparison with --probe-baseline.
    runs : list of LazyRun
        Of these and of all test files, as far as they are selected.
    found : dict of str to dict
        By test, the properties of what was found.
    beside : dict of str to list of str
        By model, what is said of it beside its baseline.
    reports : set of str
        The files that were written; in the main process of pytest-xdist, before the end, the workers' run directories.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.asked: list[ProbeCheck] = []
        self.reasons: dict[str, str] = {}
        self.held: HeldToBaseline | None = None
        self.runs: list[LazyRun] = []
        self.found: dict[str, dict[str, Any]] = {}
        self.beside: dict[str, list[str]] = {}
        self.folders: set[str] = set()
        self.reports: set[str] = set()

    def pytest_report_header(self) -> list[str]:
        """What is under test."""
        if not self.asked:
            return []
        from probe.pytest_plugin.options import under_test

        return [f"probe: {under_test(self.asked)}"]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        """A model that is asked stands beside the files with tests."""
        report = yield
        if self.asked and isinstance(collector, pytest.Session) and report.outcome == "passed":
            from probe.testing.items import ModelUnderTest

            tests: list[ProbeCheck | HeldToBaseline] = [*self.asked]
            tests += [self.held] if self.held else []
            report.result.insert(0, ModelUnderTest.of(collector, tests, self.reasons))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, Any]:
        """The mark `probe`; where pytest-xdist deals out groups, the checks of one probe are one.

        A comparison with a baseline belongs to its checks: where any of them is selected it is, as the last.
        """
        for item in items:
            if asked_of(item):
                item.add_marker(pytest.mark.probe)
            # Not otherwise: its name is a keyword that -k would find in every check.
            if (check := check_of(item)) and getattr(self.config.option, "loadgroup", False):
                item.add_marker(pytest.mark.xdist_group(f"{check.run.name} {check.probe}"))
        collected = _by_run(items)
        compared = [item for item in items if asked_of(item) and not check_of(item)]
        items[:] = [item for item in items if item not in compared]
        result = yield
        selected = _by_run(items)
        for item in compared:
            held: Any = asked_of(item)
            here = selected.get(id(held.run), set())
            # Named alone on the command line, it asks for all.
            if here or id(held.run) not in collected:
                held.left_out = {check.id for check in held.checks} - here if here else set()
                held.update |= bool(self.config.getoption(key("baseline-update")))
                items.append(item)
            else:
                self.config.hook.pytest_deselected(items=[item])
        return result

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is left after -k, -m and --lf is the run: a probe that none of it belongs to is not asked."""
        names = _by_run(session.items)
        self.runs = list({id(asked.run): asked.run for item in session.items if (asked := asked_of(item))}.values())
        for run in self.runs:
            if ids := names.get(id(run)):
                run.probes = [probe for probe in run.probes if probe.name() in {name.partition("/")[0] for name in ids}]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """What was found goes with the test's report, and so into JUnit's file."""
        try:
            return (yield)
        finally:
            if asked := asked_of(item):
                item.user_properties += asked.properties()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Kept for the summary; with pytest-xdist this is where the workers' answers arrive."""
        said: dict[str, Any] = {name: value for name, value in report.user_properties if isinstance(name, str)}
        if report.when == "call" and {"probe", "model", "verdict"} <= said.keys():
            self.found[report.nodeid] = said | {"expected": getattr(report, "wasxfail", None)}
        if report.when == "call" and {"baseline", "model"} <= said.keys():
            self.beside[said["model"]] = [str(value) for name, value in report.user_properties if name == "baseline"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """A worker of pytest-xdist asks what this process does."""
        node.workerinput["probe_asked"] = bool(self.asked)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of pytest-xdist says where it stored what it found."""
        self.folders.update(getattr(node, "workeroutput", {}).get("probe_folders", ()))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports."""
        if (output := getattr(self.config, "workeroutput", None)) is not None:
            output["probe_folders"] = [str(run.folder) for run in self.runs if run.folder and run.folder != run.scratch]
            return
        self.reports = {str(path) for run in self.runs if (path := run.write_report())}
        if self.folders:
            from probe.testing.lazy_run import write_report

            self.reports |= {str(write_report(Path(folder), {})) for folder in self.folders}
        if self.says_nothing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table of what was found, and where the reports are."""
        for model in dict.fromkeys([*(one["model"] for one in self.found.values()), *self.beside]):
            from probe.testing.summary import table

            terminalreporter.section(f"probe: {model}", sep="-")
            for line in table([one for one in self.found.values() if one["model"] == model]):
                terminalreporter.line(line)
            for sentence in self.beside.get(model, ()):
                terminalreporter.line(f"  {sentence}")
        if self.says_nothing:
            terminalreporter.line("No check gave a verdict, so nothing is known of this model: the run counts as failed.")
        for path in sorted(self.reports):
            terminalreporter.line(f"report: {Path(path).resolve()}")

    @property
    def says_nothing(self) -> bool:
        """Whether all of --probe-model was run and gave no verdict at all: green would say what nobody knows."""
        verdicts = {one["verdict"] for one in self.found.values()}
        return bool(self.asked) and len(self.found) >= len(self.asked) and not verdicts - {"info", "not_applicable"}


@pytest.fixture(scope="session")
def _probe_meeting_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the whole session: those of its workers lie beside one another in it."""
    return tmp_path_factory.getbasetemp().parent / "probe"


@pytest.fixture
def _probe_scratch(request: pytest.FixtureRequest, _probe_meeting_place: Path) -> None:
    """Workers share what they measure even where nothing is to be kept."""
    if asked := asked_of(request.node):
        place = f"{request.node.path.stem} {request.node.originalname} {asked.run.name}"
        asked.run.scratch = _probe_meeting_place / "".join(c if c.isalnum() else "_" for c in place)


def asked_of(item: pytest.Item) -> ProbeCheck | HeldToBaseline | None:
    """What a test asks: a check, or all of them beside a baseline. Nothing is imported to find out."""
    if (testing := sys.modules.get("probe.testing")) is None:
        return None
    called = getattr(item, "callspec", None)
    found = called.params.get("check") if called else getattr(item, "check", None)
    return found if isinstance(found, (testing.ProbeCheck, testing.HeldToBaseline)) else None


def check_of(item: pytest.Item) -> ProbeCheck | None:
    """The check that a test asks."""
    found: Any = asked_of(item)
    return found if hasattr(found, "probe") else None


def _by_run(items: list[pytest.Item]) -> dict[int, set[str]]:
    """The ids of the checks that tests ask, by run."""
    found: dict[int, set[str]] = {}
    for check in filter(None, map(check_of, items)):
        found.setdefault(id(check.run), set()).add(check.id)
    return found
