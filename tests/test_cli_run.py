"""`quantum-monitor run` beside plain `python`: the same script, arguments, output, exit status and signals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun
from tests.server_process import eventually

OUR_LINE = re.compile(r"^quantum-monitor: metrics on (\S+); the run is kept in (.+)\n", re.MULTILINE)
RUN = [sys.executable, "-m", "quantum_monitor.cli", "run", "--port", "0"]


@dataclass(frozen=True)
class Ended:
    """What was to be seen of a process that ended."""

    status: int
    out: str
    err: str


def ended(command: Sequence[object], stdin: str = "") -> Ended:
    done = subprocess.run(
        [*map(str, command)], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def runs() -> list[StoredRun]:
    storage = Path("quantum_monitoring")
    return [StoredRun(run) for run in find_runs(storage)] if storage.is_dir() else []


def as_python(*command: object, stdin: str = "") -> str:
    """Run it both ways and compare all that can be seen; the status that the one run ended with."""
    plain, ours = ended([sys.executable, *command], stdin), ended([*RUN, *command], stdin)
    assert OUR_LINE.match(ours.err), ours.err
    assert Ended(ours.status, ours.out, OUR_LINE.sub("", ours.err, count=1)) == plain
    (run,) = runs()
    return run.status


def script(source: str, name: str = "train.py") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path


# What a script sees

LOOKS_AROUND = '''
"""Its docstring."""
import inspect, os, pickle, sys, warnings
import beside
class Model:
    weights = [1.5]
def deprecated():
    warnings.warn("old", DeprecationWarning)  # shown, for it is in __main__
deprecated()
again = pickle.loads(pickle.dumps(Model()))
print(sys.argv, sys.path[:1], beside.__file__, sys.flags, os.getcwd(), globals().get("__annotations__"))
print(__name__, __doc__, __file__, __package__, __spec__, __cached__, __builtins__, type(__loader__), __loader__.name)
print(type(again) is Model, Model.__module__, Model is sys.modules["__main__"].Model, inspect.getsource(Model))
print(open("data.txt").read(), input(), sys.stdin.read())
print("to stderr", file=sys.stderr)
sys.stdout.buffer.write(bytes(range(256)).hex().encode())
'''


def test_a_script_finds_all_as_python_leaves_it() -> None:
    script(LOOKS_AROUND, "folder/real.py")
    script("", "folder/beside.py")
    Path("link.py").symlink_to("folder/real.py")
    Path("data.txt").write_text("data")
    words = ["--help", "--port", "7", "--", "-m", "x", "--no-instrument", "", "--=1", "-"]
    assert as_python("link.py", *words, stdin="a line\nthe rest\n") == "completed"


@pytest.mark.parametrize("target", ["module", "package", "folder", "archive", "stdin"])
def test_whatever_python_runs_is_run(target: str) -> None:
    seen = "sys.argv, sys.path[:1], __name__, __file__, __package__, __spec__ and __spec__.name"
    source = f"import sys\nprint({seen})\nmissing"
    script(source, "pkg/inner.py")
    script(source, "pkg/__main__.py")
    script("import sys\nprint('package', sys.argv)", "pkg/__init__.py")
    with zipfile.ZipFile("archive.zip", "w") as archive:
        archive.writestr("__main__.py", source)
    command = {
        "module": ["-mpkg.inner"],
        "package": ["-m", "pkg"],
        "folder": ["pkg"],
        "archive": ["archive.zip"],
        "stdin": ["-"],
    }[target]
    assert as_python(*command, "-m", "--help", stdin=source if target == "stdin" else "") == "failed"
    (run,) = runs()
    names = {"module": "pkg.inner", "package": "pkg", "folder": "pkg", "archive": "archive", "stdin": "stdin"}
    assert run.info["experiment"] == names[target]


def test_a_module_that_is_loaded_already_is_warned_of_once_and_only_where_python_warns() -> None:
    script("import pkg.inner", "pkg/__init__.py")
    script("print(__name__)", "pkg/inner.py")
    assert as_python("-m", "pkg.inner") == "completed"
    done = ended([sys.executable, "-W", "error", *RUN[1:], "-m", "http.server", "--help"])  # which serves our metrics
    assert (done.status, OUR_LINE.sub("", done.err, count=1)) == (0, "")


# How a script ends

HANDLES_SIGNALS_IN_A_LOOP = """
import asyncio, os, signal
async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await done.wait()
    print("asked to end")
asyncio.run(main())
"""

FAILS_AT_EXIT = """
import atexit
class Last:
    def __call__(self):
        [][1]
    def __repr__(self):
        return "last"
atexit.register(Last())
"""

ENDINGS = {
    "comes to its end": ("print('done')", "completed"),
    "exits with nothing": ("import sys; sys.exit()", "completed"),
    "exits with a number": ("import sys; sys.exit(3)", "failed"),
    "exits with a number that the system takes for 0": ("raise SystemExit(256)", "completed"),
    "exits with a sentence": ("import sys; sys.exit('no data')", "failed"),
    "exits while an error is under way": ("try:\n    1 / 0\nfinally:\n    raise SystemExit(4)", "failed"),
    "fails for a reason": ("try:\n    int('x')\nexcept ValueError as e:\n    raise OSError(2, 'b') from e", "failed"),
    "has a hook for errors": (
        "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno)\n1 / 0", "failed",
    ),
    "has a hook that traces": (
        "import sys, traceback\nsys.excepthook = lambda k, e, t: traceback.print_exception(e)\n1 / 0", "failed",
    ),
    "has a hook that fails": ("import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0", "failed"),
    "fails at exit": (FAILS_AT_EXIT, "completed"),
    "is interrupted": ("import signal\nsignal.raise_signal(signal.SIGINT)", "stopped"),
    "is terminated": ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('alive')", "stopped"),
    "loses its terminal": ("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nprint('alive')", "stopped"),
    "handles its signals": (
        "import signal, sys\nsignal.signal(15, lambda n, f: sys.exit(0))\nsignal.raise_signal(15)", "completed",
    ),
    "ignores its signals": (
        "import signal\nsignal.signal(15, signal.SIG_IGN)\nsignal.raise_signal(15)\nprint('on')", "completed",
    ),
    "handles its signals in a loop": (HANDLES_SIGNALS_IN_A_LOOP, "completed"),
    "leaves without a word": ("import os; os._exit(5)", "killed"),
    "is killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed"),
    "becomes another": ("import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(1)'])", "killed"),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_script_ends_as_under_python_when_it(ending: str) -> None:
    source, status = ENDINGS[ending]
    assert as_python(script(source)) == status


@pytest.mark.parametrize(
    ("source", "ended_by"),
    [
        ("raise KeyError('secret')", "KeyError"),
        ("raise SystemExit(3)", "exit status 3"),
        ("raise SystemExit('secret')", "exit status 1"),
        ("raise SystemExit(256)", None),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
    ],
)
def test_the_run_keeps_what_ended_the_script_and_no_message(source: str, ended_by: str | None) -> None:
    ended([*RUN, script(source)])
    (run,) = runs()
    assert (run.info.get("ended_by"), run.info["command"]) == (ended_by, "run")
    assert "secret" not in (run.directory / "run.json").read_text()


def test_a_run_keeps_the_module_that_it_is_of() -> None:
    script("", "pkg/inner.py")
    ended([*RUN, "-m", "pkg.inner"])
    assert [run.info["module"] for run in runs()] == ["pkg.inner"]


def test_ctrl_c_ends_a_waiting_script_as_under_python() -> None:
    source = script("print('waits', flush=True)\nimport time\ntime.sleep(60)")
    seen = []
    for command in ([sys.executable, str(source)], [*RUN, str(source)]):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        seen.append((process.returncode, err.splitlines()[-1]))
    assert seen == [(-signal.SIGINT, "KeyboardInterrupt")] * 2
    assert [run.status for run in runs()] == ["stopped"]


LOGS_TO_THE_LAST = """
import atexit, sys, threading
from quantum_monitor import current_monitor
monitor = current_monitor()
def outlive():
    threading.main_thread().join()
    monitor.log_metrics({"thread": 1.0})
threading.Thread(target=outlive).start()
atexit.register(lambda: monitor.log_metrics({"atexit": 1.0}))
monitor.log_metrics({"script": 1.0})
sys.exit(3)
"""


def test_a_signal_that_was_ignored_before_the_script_stays_ignored() -> None:
    source = script("import signal\nsignal.raise_signal(signal.SIGHUP)\nprint(int(signal.getsignal(signal.SIGHUP)))")
    command = " ".join(map(str, [*RUN, source]))
    done = ended(["sh", "-c", f"trap '' HUP; exec {command}"])  # as nohup does
    assert (done.status, done.out) == (0, "1\n")
    assert [run.status for run in runs()] == ["completed"]


def test_what_threads_and_exit_handlers_still_log_belongs_to_the_run() -> None:
    assert as_python(script("import sys; sys.exit(3)")) == "failed"
    done = ended([*RUN, "--name", "late", script(LOGS_TO_THE_LAST)])
    assert done.status == 3, done.err
    (run,) = [run for run in runs() if run.info["name"] == "late"]
    assert run.status == "failed"
    assert {"script", "thread", "atexit"} <= set(run.info["summary"]["metrics_summary"])


# What a script starts

FORKS = """
import os, signal, sys
def fail():
    1 / 0
def leave():
    raise SystemExit(7)
def be_terminated():
    os.kill(os.getpid(), signal.SIGTERM)
def be_interrupted():
    signal.raise_signal(signal.SIGINT)
def go_on():
    pass
for end in (go_on, leave, fail, be_terminated, be_interrupted):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        print(signal.getsignal(signal.SIGTERM), flush=True)
        end()
        break
    print("child", end.__name__, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit(3)
"""


def test_forked_children_end_as_a_script_does_and_leave_the_run_alone() -> None:
    assert as_python(script(FORKS)) == "failed"


WORKERS = """
import concurrent.futures, importlib.util, multiprocessing
print("imported as", __name__, flush=True)
def square(model):
    return model.x ** 2
def sleep():
    import time
    time.sleep(60)
class Model:
    def __init__(self, x):
        self.x = x
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            print(pool.map(square, [Model(2), Model(3)]), flush=True)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            print(pool.submit(square, Model(4)).result(), flush=True)
    if importlib.util.find_spec("joblib"):
        from joblib import Parallel, delayed
        print(Parallel(n_jobs=2)(delayed(square)(Model(x)) for x in range(3)), flush=True)
    for _ in range(10):
        worker = multiprocessing.get_context("fork").Process(target=sleep)
        worker.start()
        worker.terminate()
        worker.join()
        print(worker.exitcode)
"""


def test_workers_import_the_script_and_nothing_of_ours() -> None:
    assert as_python(script(WORKERS)) == "completed"


# What is watched

ITS_OWN_MONITOR = """
import quantum_monitor
quantum_monitor.instrument()
around = quantum_monitor.current_monitor()
monitor = quantum_monitor.QuantumMonitor("own")
assert monitor.metrics_url
with monitor.start_run("inner"):
    assert quantum_monitor.current_monitor() is monitor
    monitor.log_training_step(0.5, None, None, 0)
assert quantum_monitor.current_monitor() is around
monitor.start_run("left open")
raise SystemExit(3)
"""


def test_a_script_with_a_monitor_of_its_own_has_its_runs_beside() -> None:
    done = ended([*RUN, "--experiment", "around", "--name", "outer", script(ITS_OWN_MONITOR)])
    assert done.status == 3, done.err
    seen = {(run.info["experiment"], run.info["name"], run.status) for run in runs()}
    assert seen == {("around", "outer", "failed"), ("own", "inner", "completed"), ("own", "left open", "failed")}


EXECUTES = """
import cirq
import quantum_monitor
quantum_monitor.instrument()  # once more
qubits = cirq.LineQubit.range(2)
circuit = cirq.Circuit(cirq.H(qubits[0]), cirq.CNOT(*qubits), cirq.measure(*qubits))
for _ in range(3):
    cirq.Simulator().run(circuit, repetitions=10)
raise SystemExit(3)
"""


@pytest.mark.parametrize(("options", "executions"), [([], 3), (["--frameworks", "qiskit"], None)])
def test_the_last_scrape_shows_what_was_executed_and_how_the_script_ended(
    options: list[str], executions: int | None
) -> None:
    pytest.importorskip("cirq")
    settings = ["--experiment", "bell", "--name", "a", "--final-scrape-timeout", "60", "--storage", "kept"]
    process = subprocess.Popen(
        [*RUN, *settings, *options, script(EXECUTES if executions else "raise SystemExit(3)")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = OUR_LINE.match(process.stderr.readline())
    assert line is not None
    page = ""

    def shows_the_end() -> bool:
        nonlocal page
        with urllib.request.urlopen(line[1], timeout=30) as answer:
            page = answer.read().decode()
        return 'status="failed"} 1.0' in page

    eventually(shows_the_end, what="the end of the run on the page")
    assert process.wait(60) == 3
    process.stderr.close()
    counted = re.findall(r'quantum_circuit_executions_total\{.*run="a".*status="success"\} (\S+)', page)
    assert [float(count) for count in counted] == ([] if executions is None else [executions])
    (run,) = find_runs(Path("kept"))
    assert run == Path(line[2])


def test_settings_come_from_the_file_and_the_script_names_the_experiment_only_if_nobody_does() -> None:
    Path("settings.yaml").write_text("experiment_name: from-file\nlabels: {team: x}\n")
    source = script("import sys; print(sys.argv)", "train.v2.py")
    for options in (["--config=settings.yaml", "--no-instrument"], [], ["--experiment", "given", "--"]):
        assert ended([*RUN, *options, source]).out == "['train.v2.py']\n"
    assert {run.info["experiment"] for run in runs()} == {"from-file", "train.v2", "given"}


def test_it_is_said_where_mlflow_gets_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    for name, value in {"ENABLE_MLFLOW": "1", "DELIVERY_TIMEOUT": "0", "DELIVERY_GRACE": "0"}.items():
        monkeypatch.setenv(f"QUANTUM_MONITOR_{name}", value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:9")
    done = ended([*RUN, script("print('ran')")])
    assert (done.status, done.out) == (0, "ran\n")
    assert done.err.splitlines()[0].endswith(f"{runs()[0].directory} and delivered to mlflow (http://127.0.0.1:9)")
    assert "secret" not in done.err


# What cannot be run


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["none.py"], 2, "quantum-monitor: can't open file '{here}/none.py': [Errno 2] No such file or directory"),
        (["-m", "none.such"], 1, "quantum-monitor: Error while finding module specification for 'none.such'"),
        (["empty"], 1, "quantum-monitor: can't find '__main__' module in '{here}/empty'"),
        ([], 2, "quantum-monitor run: give a script to run; see quantum-monitor run --help"),
        (["-m"], 2, "quantum-monitor run: give a script to run; see quantum-monitor run --help"),
        (["--prot", "1", "ok.py"], 2, "quantum-monitor run: unrecognized arguments: --prot 1"),
        (["--port", "x", "ok.py"], 2, "quantum-monitor run: argument --port: 'x' is not a whole number"),
        (["--frameworks", "qutip", "ok.py"], 1, "quantum-monitor: frameworks: 'qutip' cannot be instrumented"),
        (["--final-scrape-timeout", "-1", "ok.py"], 1, "quantum-monitor: final_scrape_timeout: "),
        (["--config", "none.yaml", "ok.py"], 1, "quantum-monitor: none.yaml: "),
    ],
)
def test_what_cannot_be_run_is_one_line_and_leaves_nothing_behind(words: list[str], status: int, said: str) -> None:
    Path("empty").mkdir()
    script("print('ran')", "ok.py")
    done = ended([*RUN, *words])
    assert (done.status, done.out, runs()) == (status, "", [])
    assert done.err.startswith(said.format(here=Path.cwd()))
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", [["wrong.py"], ["-m", "wrong"], ["-m", "broken.inner"]])
def test_a_script_that_is_no_python_fails_as_under_python_and_leaves_nothing_behind(command: list[str]) -> None:
    script("x = (1,\ny = 2", "wrong.py")
    script("import json\njson.loads('{')", "broken/__init__.py")
    plain, ours = ended([sys.executable, *command]), ended([*RUN, *command])
    assert (ours.status, ours.out) == (plain.status, plain.out) == (1, "")
    theirs = [line for line in plain.err.splitlines() if "runpy" not in line]
    assert [line for line in ours.err.splitlines() if "runpy" not in line] == theirs
    assert runs() == []


def test_a_port_that_is_taken_stops_no_script() -> None:
    source = script("from quantum_monitor import current_monitor\nprint(current_monitor().metrics_url)")
    first = subprocess.Popen(
        [*RUN, script("input()", "waits.py")], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    line = OUR_LINE.match(first.stderr.readline())
    assert line is not None
    port = line[1].rsplit(":", 1)[1].split("/")[0]
    second = ended([*RUN, "--port", port, source])
    assert second.status == 0
    assert second.out.startswith("http://")
    assert f":{port}/" not in second.out
    first.communicate("\n", timeout=60)


def test_a_run_that_no_disk_takes_is_not_said_to_be_kept_somewhere() -> None:
    Path("no_folder").write_text("")
    done = ended([*RUN, "--storage", "no_folder", script("print('done')")])
    assert (done.status, done.out) == (0, "done\n")
    assert "; the run is kept in memory only" in done.err


def test_a_script_runs_where_output_is_closed() -> None:
    source = script("import json, sys\njson.dump([sys.stdout is None, sys.stderr is None], open('seen.json', 'w'))")
    command = " ".join(map(str, [*RUN, source]))
    done = subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], timeout=120, check=False)
    assert done.returncode == 0
    assert json.loads(Path("seen.json").read_text()) == [True, True]
    assert [run.info["experiment"] for run in runs()] == ["train"]
