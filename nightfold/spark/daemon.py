"""The process that Spark's Python workers are forked from: Spark's own, with the path as `nightfold.spark` puts it.

A task that is alone in its barrier stage waits for nobody. Spark's JVM looks once a second whether all have come, and
xgboost.spark asks three times for each model, of which ours have one task (docs/decisions/0022).
"""

from pyspark import BarrierTaskContext
from pyspark.daemon import manager


def wait_only_for_others() -> None:
    """Of the two ways in which a task of a barrier stage waits for the others."""
    barrier, all_gather = BarrierTaskContext.barrier, BarrierTaskContext.allGather

    def alone(context: BarrierTaskContext) -> bool:
        return len(context.getTaskInfos()) == 1

    def barrier_of_more(self: BarrierTaskContext) -> None:
        if not alone(self):
            barrier(self)

    def all_gather_of_more(self: BarrierTaskContext, message: str = "") -> list[str]:
        return [message] if alone(self) else all_gather(self, message)

    BarrierTaskContext.barrier, BarrierTaskContext.allGather = barrier_of_more, all_gather_of_more


if __name__ == "__main__":
    wait_only_for_others()
    manager()
