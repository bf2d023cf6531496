"""The shadow of the live job: the same features from the same ticks, into a separate topic.

It writes neither to the lakehouse nor to any topic that others read, has its own consumer groups,
takes no checkpoints, and ends with the process that compares it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from contracts import live_job, topics
from contracts.config import connections
from contracts.config.groups.kafka import KafkaSettings
from contracts.config.settings import Settings
from contracts.errors import JobError, ServiceError
from contracts.topics import Topic
from feature_store.flink import rest as flink_rest
from feature_store.flink.program import Program

NAME = "lakehouse-tick shadow"
INFIX = ".shadow-"
READ = (live_job.TICKS, live_job.WARMUP)
PUBLISHED = "INSERT INTO features_"  # the inserts that a shadow keeps
TIMEOUT_S = 15.0

log = structlog.get_logger("streaming")


@dataclass(frozen=True, slots=True)
class Shadow:
    """The topics and consumer groups of one shadow; `number` differs between shadows."""

    number: int

    def of(self, name: str) -> str:
        """The shadow's name for a topic or a group of the live job."""
        return f"{name}{INFIX}{self.number}"

    @property
    def features(self) -> str:
        """The topic of its feature rows."""
        return self.of(topics.TICK_FEATURES.name)

    @property
    def warmup(self) -> str:
        """The topic of its warm-up."""
        return self.of(topics.WARMUP.name)

    def program(self, settings: Settings, live: Program) -> Program:
        """The shadow of the program `live`. Raises JobError if it would share a group or topic."""
        renamed = {f"'properties.group.id'='{reader.group}'": reader.group for reader in READ}
        renamed |= {f"'topic'='{t.name}'": t.name for t in (topics.WARMUP, topics.TICK_FEATURES)}
        texts = {text: text.replace(name, self.of(name)) for text, name in renamed.items()}
        inserts = tuple(text for text in live.inserts if text.startswith(PUBLISHED))
        _require_all(live, texts)
        started = live.starting_from(None)
        return replace(
            started,
            name=NAME,
            ddl=tuple(_replace_all(statement, texts) for statement in live.ddl),
            inserts=inserts,
            options=_options(settings, started.options),
        )


def _options(settings: Settings, live: Mapping[str, str]) -> dict[str, str]:
    """A shadow that fails is not restarted, and Flink ends one whose process has died.

    Its checkpoints would be taken for newer states of the live job.
    """
    kept = {k: v for k, v in live.items() if not k.startswith("execution.checkpointing.")}
    return kept | flink_rest.client_options(settings) | {"restart-strategy.type": "none"}


def _require_all(live: Program, texts: Mapping[str, str]) -> None:
    missing = [text for text in texts if not any(text in statement for statement in live.ddl)]
    if missing:
        raise JobError(
            f"the program of the live job has no {', '.join(missing)}",
            "upgrade without a comparison: `tick job stop`, then `tick job submit --fresh`",
        )


def _replace_all(statement: str, texts: Mapping[str, str]) -> str:
    for text, new in texts.items():
        statement = statement.replace(text, new)
    return statement


@contextmanager
def created(settings: KafkaSettings, shadow: Shadow) -> Iterator[None]:
    """The topics of a shadow exist during the block; those of shadows that were killed are deleted.

    Raises ServiceError if Kafka does not create them.
    """
    admin = AdminClient({**connections.kafka(settings), "log_level": 0})
    _delete(admin)
    _create(admin, (topics.WARMUP, topics.TICK_FEATURES), shadow)
    try:
        yield
    finally:
        _delete(admin)


def _create(admin: AdminClient, models: tuple[Topic, ...], shadow: Shadow) -> None:
    """Create the topics with as many partitions and replicas as those of the live job."""
    try:
        existing = admin.list_topics(timeout=TIMEOUT_S).topics
        new = []
        for topic in models:
            partitions = existing[topic.name].partitions
            config = {"retention.ms": str(topics.DAY_MS)}
            replicas = len(partitions[0].replicas)
            new.append(NewTopic(shadow.of(topic.name), len(partitions), replicas, config=config))
        for created_topic in admin.create_topics(new, operation_timeout=TIMEOUT_S).values():
            created_topic.result(TIMEOUT_S)
    except (KafkaException, KeyError) as error:
        raise ServiceError(
            f"the topics of the shadow job were not created: {error}",
            "see `tick status` and `tick logs kafka`; the live job runs as before",
        ) from error


def _delete(admin: AdminClient) -> None:
    """Delete topics and groups of all shadows. Errors are only logged: leftovers do no harm."""
    try:
        names = [name for name in admin.list_topics(timeout=TIMEOUT_S).topics if INFIX in name]
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
        groups = [group.group_id for group in listed.valid if INFIX in group.group_id]
        deletions = dict(admin.delete_topics(names, operation_timeout=TIMEOUT_S)) if names else {}
        deletions |= admin.delete_consumer_groups(groups) if groups else {}
        for deletion in deletions.values():
            deletion.result(TIMEOUT_S)
    except (KafkaException, TimeoutError) as error:
        log.warning("topics or groups of a shadow job were not deleted", error=str(error))
