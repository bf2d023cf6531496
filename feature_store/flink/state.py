"""Finds the readers that had finished when a checkpoint or savepoint was taken, and the offsets at
which the others continue.

A finished task is restored as finished: it never runs again, while the job is RUNNING without it.
Flink's own classes read `_metadata`, in the JVM that PyFlink has started.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

# Flink names a source by its table, in metadata and as the first operator of a vertex:
# `Source: KafkaSource-default_catalog.default_database.wire_raw -> Calc[6] -> …`
SOURCE = re.compile(r"Source: KafkaSource-\w+\.\w+\.(\w+)")
SPLITS = "SourceReaderState"  # Flink's name of the state in which a source keeps its partitions


def finished_readers(state: str) -> list[str]:
    """Tables of the sources with at least one finished task in the state at this URI.

    One task is enough, because nothing would read its partitions. Needs PyFlink's JVM. Raises
    Py4JJavaError when the state cannot be read.
    """
    from pyflink.java_gateway import get_gateway

    operators = _load(get_gateway().jvm, state).getOperatorStates().toArray()
    finished = filter(_has_finished, operators)
    return sorted(set(chain.from_iterable(map(_readers, finished))))


def reader_offsets(state: str) -> dict[str, dict[int, int]]:
    """Next offset per partition of each Kafka source, by its table, in the state at this URI.

    A partition of which nothing was read yet is missing, as is a source that had finished. Needs
    PyFlink's JVM. Raises Py4JJavaError when the state cannot be read.
    """
    from pyflink.java_gateway import get_gateway

    jvm, found = get_gateway().jvm, dict[str, dict[int, int]]()
    for operator in _load(jvm, state).getOperatorStates().toArray():
        for table in _readers(operator):
            tasks = operator.getStates().toArray()
            splits = chain.from_iterable(_splits(jvm, task) for task in tasks)
            offsets = {split.getPartition(): split.getStartingOffset() for split in splits}
            # Negative: a rule where to start (committed, earliest), for a partition without a read.
            found[table] = {int(p): int(at) for p, at in offsets.items() if at >= 0}
    return found


def _splits(jvm: Any, task: Any) -> Iterator[Any]:
    """The partitions of one task, read by the connector's own classes."""
    flink = jvm.org.apache.flink
    serializer = flink.connector.kafka.source.split.KafkaPartitionSplitSerializer()
    arrays = flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer.INSTANCE
    versioned = flink.core.io.SimpleVersionedSerialization
    for handle in task.getManagedOperatorState().toArray():
        positions = handle.getStateNameToPartitionOffsets().get(SPLITS)
        stream = handle.openInputStream()
        try:
            for position in positions.getOffsets() if positions is not None else ():
                stream.seek(position)
                view = flink.core.memory.DataInputViewStreamWrapper(stream)
                content = arrays.deserialize(view)
                yield versioned.readVersionAndDeSerialize(serializer, content)
        finally:
            stream.close()


def _load(jvm: Any, state: str) -> Any:
    path = jvm.org.apache.flink.core.fs.Path(f"{state}/_metadata")
    file = jvm.java.io.BufferedInputStream(path.getFileSystem().open(path))
    stream = jvm.java.io.DataInputStream(file)
    loader = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    checkpoints = jvm.org.apache.flink.runtime.checkpoint.Checkpoints
    try:
        return checkpoints.loadCheckpointMetadata(stream, loader, state)
    finally:
        stream.close()


def _readers(operator: Any) -> list[str]:
    """The table of a source, or the name of another kind of source or of an unnamed operator."""
    name = str(operator.getOperatorName().orElse(f"operator {operator.getOperatorID()}"))
    return SOURCE.findall(name) or ([name] if name.startswith(("Source", "operator")) else [])


def _has_finished(operator: Any) -> bool:
    tasks = operator.getStates().toArray()
    return bool(operator.isFullyFinished()) or any(task.isFinished() for task in tasks)
