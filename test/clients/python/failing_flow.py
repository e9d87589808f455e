"""Steps that fail: the error is the step's, and nothing of Spark is left."""

from metaflow import FlowSpec, Parameter, step
from spark_connect_helper.metaflow import spark_connect


class FailingFlow(FlowSpec):
    how = Parameter("how", default="raise")

    @spark_connect(app_name="failing")
    @step
    def start(self):
        frame = self.spark.range(3)
        self.frame = frame
        if self.how == "raise":
            raise ValueError("the step's own error")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    FailingFlow()
