import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pyspark.sql.connect.proto as proto
import pyspark.sql.connect.proto.base_pb2_grpc as service

from spark_connect_gateway import connect

CUT = "Received RST_STREAM with error code 2"


class Driver(service.SparkConnectServiceServicer):
    """A Spark Connect server whose first stream breaks after one response."""

    def __init__(self, break_with):
        self.break_with = break_with
        self.executed = 0
        self.resumed_after = []

    def Config(self, request, context):
        return proto.ConfigResponse(session_id=request.session_id)

    def ReleaseSession(self, request, context):
        return proto.ReleaseSessionResponse(session_id=request.session_id)

    def ReleaseExecute(self, request, context):
        return proto.ReleaseExecuteResponse(session_id=request.session_id)

    def ExecutePlan(self, request, context):
        self.executed += 1
        yield self.response(request, "first")
        context.abort(*self.break_with)

    def ReattachExecute(self, request, context):
        self.resumed_after.append(request.last_response_id)
        last = self.response(request, "last")
        last.result_complete.SetInParent()
        yield last

    @staticmethod
    def response(request, response_id):
        return proto.ExecutePlanResponse(
            session_id=request.session_id,
            operation_id=request.operation_id,
            response_id=response_id,
        )


class RetryCutStreamsTest(unittest.TestCase):
    def start(self, *break_with):
        driver = Driver(break_with)
        server = grpc.server(ThreadPoolExecutor(max_workers=8))
        service.add_SparkConnectServiceServicer_to_server(driver, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        spark = connect(f"127.0.0.1:{port}", user_id="ann", session_id=str(uuid.uuid4()))
        self.addCleanup(spark.stop)
        return driver, spark

    @staticmethod
    def execute(spark):
        command = proto.Command()
        command.sql_command.sql = "SELECT 1"
        spark.client.execute_command(command)

    def test_a_cut_stream_is_resumed_where_it_stopped(self):
        driver, spark = self.start(grpc.StatusCode.INTERNAL, CUT)
        self.execute(spark)
        self.assertEqual(driver.executed, 1)
        self.assertEqual(driver.resumed_after, ["first"])

    def test_an_error_of_the_query_is_not_retried(self):
        driver, spark = self.start(grpc.StatusCode.INTERNAL, "[DIVIDE_BY_ZERO] Division by zero.")
        with self.assertRaises(Exception) as raised:
            self.execute(spark)
        self.assertIn("DIVIDE_BY_ZERO", str(raised.exception))
        self.assertEqual(driver.resumed_after, [])

    def test_a_session_made_twice_over_keeps_one_policy(self):
        from spark_connect_gateway import retry_cut_streams

        driver, spark = self.start(grpc.StatusCode.INTERNAL, CUT)
        retry_cut_streams(retry_cut_streams(spark))
        self.execute(spark)
        self.assertEqual(driver.resumed_after, ["first"])
        if hasattr(spark.client, "get_retry_policies"):
            self.assertEqual(len(spark.client.get_retry_policies()), 2)


if __name__ == "__main__":
    unittest.main()
