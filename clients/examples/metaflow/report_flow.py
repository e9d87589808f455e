"""A Metaflow flow whose steps use Spark through the gateway. Artifacts hold results, never a session."""

from metaflow import FlowSpec, Parameter, step
from spark_connect_helper.metaflow import spark_connect


class ReportFlow(FlowSpec):
    limit = Parameter("limit", default=1000, help="how many clicks there are")

    @spark_connect()
    @step
    def start(self):
        frame = self.spark.range(self.limit).selectExpr("id % 7 AS day")
        self.totals = {row["day"]: row["count"] for row in frame.groupBy("day").count().collect()}
        self.next(self.end)

    @step
    def end(self):
        print(f"{sum(self.totals.values())} clicks on {len(self.totals)} days")


if __name__ == "__main__":
    ReportFlow()
