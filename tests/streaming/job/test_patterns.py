"""No pattern of the live job overflows the stack of a Java thread, whatever the message.

Such an error would fail the job, not the message.
"""

import re

import pytest
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError

from contracts.config import paths
from contracts.messages.decoding import AT_NUMBER, INVALID_JSON
from contracts.tick import MESSAGE_BYTES_MAX, MESSAGE_FIELDS
from streaming.job.validation_sql import dead_letter_views
from tests.support.odd_messages import good, text
from tests.support.poison import LEVELS, TEXT_BYTES, messages

pytestmark = pytest.mark.integration
TIME_US = 1_760_000_000_000_000
LITERAL = re.compile(r"'((?:[^']|'')*)'")
THOROUGH = ("venue", "price", "unknown")  # get every value: a text, a number, neither
NO_PATTERNS = {'["%', "?", INVALID_JSON}  # of a LIKE; what is put in


@pytest.fixture(scope="module")
def java():
    """A JVM with default options: its threads have the stack size of Flink's tasks."""
    gateway = JavaGateway.launch_gateway(java_path=str(paths.java()), die_on_exit=True)
    yield gateway.jvm
    gateway.shutdown()


def patterns() -> set[str]:
    """All text literals of the SQL that validates raw messages; every pattern is one of them."""
    return {
        found.replace("''", "'")
        for view in dead_letter_views()
        for found in LITERAL.findall(view.select)
    } - NO_PATTERNS


def every_field():
    """Long arrays, deep nesting and a long text in each field of a message."""
    values = [f"[{','.join(['1'] * count)}]" for count in (10**2, 10**4, 10**5)]
    values += ["[" * LEVELS + "]" * LEVELS, f'"{"x" * TEXT_BYTES}"']
    for field in MESSAGE_FIELDS:
        for number, value in enumerate(values):
            yield text(good(number, TIME_US) | {field.name: value})


def test_no_pattern_overflows_the_stack(java):
    sent = (*messages(TIME_US, THOROUGH), *every_field())
    texts = [message[:MESSAGE_BYTES_MAX].decode() for message in sent]
    compiled = [java.java.util.regex.Pattern.compile(pattern) for pattern in patterns()]
    assert any(AT_NUMBER[-1][0] in pattern.pattern() for pattern in compiled)
    for sent in texts:
        in_java = java.java.lang.StringBuilder(sent)
        for pattern in compiled:
            try:
                pattern.matcher(in_java).results().count()
            except Py4JJavaError as error:
                pytest.fail(
                    f"{error.java_exception.getClass().getName()}: {pattern.pattern()[:200]} in"
                    f" {sent[:150]}"
                )


def test_such_a_stack_does_overflow(java):
    """The pattern that once failed the job: this JVM's stack is no larger than a task's."""
    loop = java.java.util.regex.Pattern.compile(r"\[\d,\d(?:,\d,\d|x,\d)*\]")
    with pytest.raises(Py4JJavaError, match="StackOverflowError"):
        loop.matcher(f"[{','.join(['1'] * 10_000)}]").replaceAll("")
