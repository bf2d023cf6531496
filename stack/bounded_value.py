"""Compiles BoundedValue.java, the one Java class of this project, into the cache of jars.

No option of Flink's JSON reader and no metadata column of its Kafka source gives the length of a
message; a deserializer knows it. The Java runtime from the wheel has no compiler, but Flink carries
one (Janino) for the code that it generates from SQL.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from contracts.config import paths
from contracts.config.connections import BOUNDED_VALUE
from contracts.config.settings import Settings
from contracts.errors import ServiceError
from stack import jars

SOURCE = Path(__file__).with_name("BoundedValue.java")
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # a jar of the same source is the same file


def jar(settings: Settings) -> Path:
    """The compiled class in the cache; its name changes with the source."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    return paths.jars(settings) / f"lakehouse-tick-{digest[:12]}.jar"


def ensure(settings: Settings) -> None:
    """Compile the class unless the cache holds it. Needs the jars of Flink. Raises ServiceError."""
    target = jar(settings)
    if target.exists():
        return
    connectors = [
        one for one in jars.locked("flink") if "flink-sql-connector-kafka" in one.coordinate
    ]
    libraries = [*(paths.pyflink_home() / "lib").glob("flink-table-runtime-*.jar")]
    libraries += [target.with_name(connector.file) for connector in connectors]
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
        compiled = Path(partial) / target.name
        arguments = [os.pathsep.join(map(str, libraries)), str(compiled)]
        if error := _failure(arguments, settings.start_timeout_s):
            message = f"{SOURCE.name} cannot be compiled: {error}"
            raise ServiceError(message, "repair Flink's jars with `tick jars`")
        compiled.replace(target)


def _failure(arguments: list[str], timeout_s: float) -> str:
    """Run this module as a child process; returns why it failed, empty when it did not."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, *arguments]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        return str(error)
    return child.stderr.strip() if child.returncode else ""


def _compile(class_path: str, target: Path) -> None:
    """In the child process, whose JVM ends with it."""
    from py4j.java_gateway import JavaGateway
    from py4j.protocol import Py4JJavaError

    java = str(paths.java())
    gateway = JavaGateway.launch_gateway(classpath=class_path, java_path=java, die_on_exit=True)
    compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
    try:
        compiler.cook(SOURCE.read_text())
    except Py4JJavaError as error:
        sys.exit(str(error.java_exception))
    code = bytes(compiler.getBytecodes()[BOUNDED_VALUE])
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(zipfile.ZipInfo(f"{BOUNDED_VALUE.replace('.', '/')}.class", ZIP_TIME), code)


if __name__ == "__main__":
    _compile(sys.argv[1], Path(sys.argv[2]))
