"""`python -m stack.services.flink_home`: lay out FLINK_HOME for whoever submits jobs where no `tick
up` did.
"""

from contracts.config.settings import settings
from stack.services.flink import prepare

if __name__ == "__main__":
    prepare(settings())
