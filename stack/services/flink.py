"""Flink: one JobManager and one TaskManager from the pyflink wheel, with a separate FLINK_HOME
below HOME/flink.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from contracts.config import paths
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import bounded_value, jars
from stack.process.pids import Record
from stack.process.ports import EVERYWHERE, listening
from stack.process.probe import json_at
from stack.process.service import Service

VERSION = "2.3.0"
REST_TIMEOUT_S = 2.0
TASKMANAGER_METASPACE_MB = 320  # every submitted SQL job loads its generated classes again
CLIENT_CHECK_MS = (
    10_000  # how often Flink looks for jobs whose client is gone; the default is three minutes
)
TASKMANAGER_MANAGED = (
    0.25  # for the buffers of windows and sorts; of Flink's 0.4 the heap needs the rest more
)
# A third less CPU a tick than with G1, whose barriers the many small objects pay for. It must not
# give up where the heap is tight, nor spin where one of its threads waits for another; nearly all
# it sees is young. A record passes a chain of operators, each three calls deep: inlined to twice
# the usual depth they cost an eighth less. All operators share the code of that chain: with more
# than two types remembered for each call, the one that nearly always comes is inlined.
TASKMANAGER_JVM = (
    "-XX:+UseParallelGC -XX:-UseGCOverheadLimit -XX:NewRatio=1 -XX:+UnlockExperimentalVMOptions"
    " -XX:WorkStealingYieldsBeforeSleep=10 -XX:WorkStealingHardSpins=64 -XX:MaxInlineLevel=30"
    " -XX:TypeProfileWidth=8"
)

# Flink deletes these only when the TaskManager is stopped in order.
SPILL = ("flink-io-*", "flink-netty-shuffle-*")

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
        ready=lambda: overview(settings) is not None,
        home=settings.root,
        ports={settings.flink_port + offset: "TICK_FLINK_PORT" for offset in range(3)},
        env=paths.flink_env(settings),
        memory_mb=settings.flink_jobmanager_mb,
        prepare=lambda: prepare(settings),
    )


def taskmanager(settings: Settings) -> Service:
    """The TaskManager; ready when the JobManager has registered it. Its ports are the system's
    choice, on loopback.
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
    # In the foreground the script ends with `exec java`: its PID is the JVM's.
    return (str(paths.pyflink_home() / "bin" / name), "start-foreground")


def overview(settings: Settings) -> dict[str, Any] | None:
    """The cluster's `/overview` (taskmanagers, slots-total, jobs-running …); None when it does not
    answer.
    """
    return json_at(f"{settings.flink_url}/overview", REST_TIMEOUT_S)


def _is_registered(settings: Settings) -> bool:
    """Whether the JobManager knows our very process: for seconds after a kill -9 it still lists the
    dead one.
    """
    record = Record.read(paths.run(settings) / "taskmanager.json")
    known = {
        member["dataPort"]
        for member in (json_at(f"{settings.flink_url}/taskmanagers", REST_TIMEOUT_S) or {}).get(
            "taskmanagers", ()
        )
    }
    if (
        record is None
    ):  # in a container no one records a PID: there it is enough that the JobManager has one
        return bool(known)
    process = record.process()
    return process is not None and bool(known & listening(process))


def prepare(settings: Settings) -> None:
    """Lay out FLINK_HOME: links to the wheel and to our jars, and our configuration. Safe to repeat
    alongside a running cluster.
    """
    home, wheel = paths.flink_home(settings), paths.pyflink_home()
    for folder in (
        paths.flink_lib(settings),
        home / "conf",
        paths.checkpoints(settings),
        paths.savepoints(settings),
        paths.logs(settings),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(
        home / "pid", ignore_errors=True
    )  # the scripts' own PID files, which no one reads
    (home / "pid").mkdir()
    for name in ("bin", "opt", "plugins"):
        _link(home / name, wheel / name)
    fetched = [paths.jars(settings) / jar.file for jar in jars.of_flink(settings)]
    shipped = (wheel / "lib").glob("*.jar")
    _link_jars(paths.flink_lib(settings), [*shipped, *fetched, bounded_value.jar(settings)])
    for name in ("log4j-console.properties", "log4j-cli.properties", "log4j.properties"):
        (home / "conf" / name).write_text(LOG4J)
    (home / "conf" / "config.yaml").write_text(config(settings))


def prepare_taskmanager(settings: Settings) -> None:
    """Lay out FLINK_HOME and delete the files that a killed TaskManager spilled.

    Not while a TaskManager runs: the files would be its own.
    """
    prepare(settings)
    for pattern in SPILL:
        for folder in paths.flink_tmp(settings).glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _link_jars(lib: Path, wanted: list[Path]) -> None:
    names = {jar.name for jar in wanted}
    for old in lib.iterdir():
        if old.name not in names:
            old.unlink()
    for jar in wanted:
        _link(lib / jar.name, jar)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def java_options() -> str:
    """The `--add-opens` list of the shipped configuration: without it jobs run, and then fail every
    checkpoint.
    """
    text = (paths.pyflink_home() / "conf" / "config.yaml").read_text()
    found = re.search(r"^\s*all: (--add.*)$", text, re.MULTILINE)
    if found is None:
        raise ServiceError(
            "Flink's shipped config.yaml has no env.java.opts.all",
            "reinstall apache-flink with `uv sync --reinstall`",
        )
    # The wheel's runtime has no jdk.compiler (only code formatters need it), and would warn of it
    # five times at every start.
    return re.sub(r"--add-exports=jdk\.compiler/\S+ ?", "", found.group(1))


def config(settings: Settings) -> str:
    """Our config.yaml: flat keys, one per line."""
    host, port, bind = settings.flink, settings.flink_port, settings.host
    own = (
        {} if bind in EVERYWHERE else {"taskmanager.host": bind}
    )  # else the TaskManager finds the address by which others see it
    values: dict[str, str | int | float | bool] = {
        "env.java.opts.all": java_options(),
        "jobmanager.rpc.address": host,
        "jobmanager.rpc.port": port + 1,
        "jobmanager.bind-host": bind,
        "jobmanager.memory.process.size": f"{settings.flink_jobmanager_mb}m",
        "blob.server.port": port + 2,
        "rest.address": host,
        "rest.bind-address": bind,
        "rest.port": port,
        "web.log.path": str(paths.logs(settings) / "jobmanager.log"),
        "web.submit.enable": False,
        **own,
        "taskmanager.bind-host": bind,
        "taskmanager.log.path": str(paths.logs(settings) / "taskmanager.log"),
        "taskmanager.numberOfTaskSlots": settings.flink_slots,
        "taskmanager.memory.process.size": f"{settings.flink_taskmanager_mb}m",
        "taskmanager.memory.jvm-metaspace.size": f"{TASKMANAGER_METASPACE_MB}m",
        "taskmanager.memory.managed.fraction": TASKMANAGER_MANAGED,
        "env.java.opts.taskmanager": TASKMANAGER_JVM,
        "io.tmp.dirs": str(paths.flink_tmp(settings)),
        # A TaskManager killed with -9 was noticed after 50 s by default, after 6 s so (recovery
        # took 11 s).
        "heartbeat.interval": 1000,
        # A loaded machine is slow, not dead; a killed process shows by failing calls at once.
        "heartbeat.timeout": 20000,
        "client.heartbeat.timeout": CLIENT_CHECK_MS,
        # By default 10 s: on a loaded machine the dispatcher needs longer to accept a job, which
        # was then "rejected" although it ran.
        "pekko.ask.timeout": "60 s",
        # 0 s: a job whose TaskManager is gone waits for another one, five minutes per restart
        # (slot.request.timeout). By default, once the JobManager has been up for five minutes, each
        # request for slots fails at once, and all restarts of a job are used up within three
        # minutes.
        "resourcemanager.standalone.start-up-time": "0 s",
        "execution.checkpointing.dir": paths.checkpoints(settings).as_uri(),
        "execution.checkpointing.savepoint-dir": paths.savepoints(settings).as_uri(),
        "execution.checkpointing.num-retained": 3,
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
