"""Flink: one JobManager and one TaskManager of the pyflink wheel, with their own FLINK_HOME in
HOME/flink.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from contracts.config import paths
from contracts.config.groups.flink import FlinkSettings
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import bounded_value, jars
from stack.process.pids import ProcessRecord
from stack.process.ports import ALL_INTERFACES, listening_ports
from stack.process.probe import fetch_json
from stack.process.service import Service

Options = dict[str, str | int | float | bool]
VERSION = "2.3.0"
REST_TIMEOUT_S = 2.0
TASKMANAGER_METASPACE_MB = 320  # every submitted SQL job loads its generated classes again
CLIENT_CHECK_MS = 10_000  # interval of the search for jobs without a client; default: 3 minutes
# Buffers of windows and sorts. Flink's default of 0.4 leaves too little for the heap.
TASKMANAGER_MANAGED_FRACTION = 0.25
# ParallelGC: 33 % less CPU per tick than G1, whose barriers are expensive for many small objects.
# UseGCOverheadLimit off: a tight heap must not end the JVM. NewRatio=1: nearly all objects die
# young. WorkStealing*: waiting GC threads yield instead of spinning. MaxInlineLevel: a record
# passes a chain of operators, each three calls deep; twice the default depth costs an eighth less
# CPU. TypeProfileWidth: the operators share the code of that chain; with more than two recorded
# types per call site the most frequent one is inlined.
TASKMANAGER_JVM = (
    "-XX:+UseParallelGC -XX:-UseGCOverheadLimit -XX:NewRatio=1 -XX:+UnlockExperimentalVMOptions"
    " -XX:WorkStealingYieldsBeforeSleep=10 -XX:WorkStealingHardSpins=64 -XX:MaxInlineLevel=30"
    " -XX:TypeProfileWidth=8"
)

# Flink deletes these only at an orderly shutdown of the TaskManager.
SPILL_PATTERNS = ("flink-io-*", "flink-netty-shuffle-*")

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %x - %m%n
logger.pekko.name = org.apache.pekko
logger.pekko.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.hadoop.name = org.apache.hadoop
logger.hadoop.level = ERROR
"""


def jobmanager(settings: Settings) -> Service:
    """The JobManager: REST and web page on `flink_port`, RPC and blob server on the next two
    ports."""
    return Service(
        name="jobmanager",
        version=VERSION,
        command=_script("jobmanager.sh"),
        ready=lambda: fetch_overview(settings) is not None,
        home=settings.root,
        ports={settings.flink_port + offset: "TICK_FLINK_PORT" for offset in range(3)},
        env=paths.flink_env(settings),
        memory_mb=settings.flink_jobmanager_mb,
        prepare=lambda: prepare_home(settings),
    )


def taskmanager(settings: Settings) -> Service:
    """The TaskManager; ready when the JobManager has registered it. The system assigns its ports,
    on loopback.
    """
    return Service(
        name="taskmanager",
        version=VERSION,
        command=_script("taskmanager.sh"),
        ready=lambda: _is_registered(settings),
        home=settings.root,
        env=paths.flink_env(settings),
        memory_mb=settings.flink_taskmanager_mb,
        prepare=lambda: prepare_taskmanager(settings),
    )


def _script(name: str) -> tuple[str, ...]:
    # In the foreground the script ends with `exec java`, so its PID becomes that of the JVM.
    return (str(paths.pyflink_home() / "bin" / name), "start-foreground")


def fetch_overview(settings: FlinkSettings) -> dict[str, Any] | None:
    """The cluster's `/overview` (taskmanagers, slots-total, jobs-running …); None when it does not
    respond.
    """
    return fetch_json(f"{settings.flink_url}/overview", REST_TIMEOUT_S)


def _is_registered(settings: FlinkSettings) -> bool:
    """Whether the JobManager has registered this process, identified by its data port: after a
    kill -9 it lists the dead TaskManager for some seconds.
    """
    response = fetch_json(f"{settings.flink_url}/taskmanagers", REST_TIMEOUT_S) or {}
    registered_ports = {member["dataPort"] for member in response.get("taskmanagers", ())}
    record = ProcessRecord.from_file(paths.run(settings) / "taskmanager.json")
    if record is None:  # a container does not record PIDs: any registered TaskManager counts
        return bool(registered_ports)
    process = record.process()
    return process is not None and bool(registered_ports & listening_ports(process))


def prepare_home(settings: Settings) -> None:
    """Create FLINK_HOME: links to the wheel and to our jars, and our configuration. Idempotent,
    also while the cluster runs.
    """
    home = paths.flink_home(settings)
    wheel = paths.pyflink_home()
    for folder in (
        paths.flink_lib(settings),
        home / "conf",
        paths.checkpoints(settings),
        paths.savepoints(settings),
        paths.logs(settings),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home / "pid", ignore_errors=True)  # PID files of Flink's scripts; unused
    (home / "pid").mkdir()
    for name in ("bin", "opt", "plugins"):
        _link(home / name, wheel / name)
    pinned_jars = [paths.jars(settings) / jar.file for jar in jars.flink_jars(settings)]
    wheel_jars = (wheel / "lib").glob("*.jar")
    own_jar = bounded_value.jar_path(settings)
    _link_jars(paths.flink_lib(settings), [*wheel_jars, *pinned_jars, own_jar])
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j.properties"):
        (home / "conf" / name).write_text(LOG4J)
    (home / "conf" / "config.yaml").write_text(config(settings))


def prepare_taskmanager(settings: Settings) -> None:
    """Create FLINK_HOME and delete the files that a killed TaskManager spilled.

    Not while a TaskManager runs: it would lose its spill files.
    """
    prepare_home(settings)
    for pattern in SPILL_PATTERNS:
        for folder in paths.flink_tmp(settings).glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _link_jars(lib: Path, jar_files: list[Path]) -> None:
    names = {jar.name for jar in jar_files}
    for link in lib.iterdir():
        if link.name not in names:
            link.unlink()
    for jar in jar_files:
        _link(lib / jar.name, jar)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def java_options() -> str:
    """The `--add-opens` list of the shipped configuration: without it jobs run, but every
    checkpoint fails.
    """
    text = (paths.pyflink_home() / "conf" / "config.yaml").read_text()
    match = re.search(r"^\s*all: (--add.*)$", text, re.MULTILINE)
    if match is None:
        raise ServiceError(
            "Flink's shipped config.yaml has no env.java.opts.all",
            "reinstall apache-flink with `uv sync --reinstall`",
        )
    # The Java runtime of the wheel has no module jdk.compiler (only code formatters need it) and
    # would log five warnings about it at every start.
    return re.sub(r"--add-exports=jdk\.compiler/\S+ ?", "", match.group(1))


def config(settings: FlinkSettings) -> str:
    """Our config.yaml: flat keys, one per line."""
    values = {
        "env.java.opts.all": java_options(),
        **_jobmanager_options(settings),
        **_taskmanager_options(settings),
        **_failure_detection_options(),
        "execution.checkpointing.dir": paths.checkpoints(settings).as_uri(),
        "execution.checkpointing.savepoint-dir": paths.savepoints(settings).as_uri(),
        "execution.checkpointing.num-retained": 3,
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


def _jobmanager_options(settings: FlinkSettings) -> Options:
    return {
        "jobmanager.rpc.address": settings.flink,
        "jobmanager.rpc.port": settings.flink_port + 1,
        "jobmanager.bind-host": settings.host,
        "jobmanager.memory.process.size": f"{settings.flink_jobmanager_mb}m",
        "blob.server.port": settings.flink_port + 2,
        "rest.address": settings.flink,
        "rest.bind-address": settings.host,
        "rest.port": settings.flink_port,
        "web.log.path": str(paths.logs(settings) / "jobmanager.log"),
        "web.submit.enable": False,
    }


def _taskmanager_options(settings: FlinkSettings) -> Options:
    # In a container the TaskManager determines the address at which the others reach it.
    host: Options = {} if settings.host in ALL_INTERFACES else {"taskmanager.host": settings.host}
    return {
        **host,
        "taskmanager.bind-host": settings.host,
        "taskmanager.log.path": str(paths.logs(settings) / "taskmanager.log"),
        "taskmanager.numberOfTaskSlots": settings.flink_slots,
        "taskmanager.memory.process.size": f"{settings.flink_taskmanager_mb}m",
        "taskmanager.memory.jvm-metaspace.size": f"{TASKMANAGER_METASPACE_MB}m",
        "taskmanager.memory.managed.fraction": TASKMANAGER_MANAGED_FRACTION,
        "env.java.opts.taskmanager": TASKMANAGER_JVM,
        "io.tmp.dirs": str(paths.flink_tmp(settings)),
    }


def _failure_detection_options() -> Options:
    return {
        # The default of 10 s detected a TaskManager killed with -9 after 50 s, 1 s after 6 s
        # (recovery took 11 s).
        "heartbeat.interval": 1000,
        # A loaded machine is slow, not dead; calls to a killed process fail at once anyway.
        "heartbeat.timeout": 20000,
        "client.heartbeat.timeout": CLIENT_CHECK_MS,
        # By default 10 s: on a loaded machine the dispatcher needs longer to accept a job, which
        # was then "rejected" although it ran.
        "pekko.ask.timeout": "60 s",
        # 0 s: a job that lost its TaskManager waits for another one, five minutes per restart
        # (slot.request.timeout). By default, once the JobManager has been up for five minutes,
        # every slot request fails at once, and a job uses up all its restarts within three minutes.
        "resourcemanager.standalone.start-up-time": "0 s",
    }
