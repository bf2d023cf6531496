"""`python -m stack.services.flink_home`: create FLINK_HOME in a container that submits jobs, where
`tick up` does not run.
"""

from contracts.config.settings import settings
from stack.services.flink import prepare_home

if __name__ == "__main__":
    prepare_home(settings())
