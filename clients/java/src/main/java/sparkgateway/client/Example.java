package sparkgateway.client;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.connect.SparkSession;

/**
 * Connects, counts, and fetches a result that is larger than a gRPC message may be by default.
 *
 * <p>Arguments: {@code --url-token} puts the token into the URL, as most programs do today.
 */
public final class Example {
  private static final int ROWS = 20_000;
  private static final int ROW_BYTES = 1_000;

  private Example() {}

  public static void main(String[] arguments) throws Exception {
    if (List.of(arguments).contains("--help")) {
      System.out.println(
          "Settings: SPARK_CONNECT_GATEWAY, _TEAM, _ENV, _USER, _TOKEN or _TOKEN_FILE, _CA_FILE, _TLS");
      return;
    }
    Map<String, String> env = System.getenv();
    String address = env.getOrDefault("SPARK_CONNECT_GATEWAY", "localhost:15002");
    boolean tls = !"false".equals(env.get("SPARK_CONNECT_TLS"));
    String team = env.getOrDefault("SPARK_CONNECT_TEAM", "data");
    String environment = env.getOrDefault("SPARK_CONNECT_ENV", "staging");
    String user = env.getOrDefault("SPARK_CONNECT_USER", System.getProperty("user.name"));
    if (env.containsKey("SPARK_CONNECT_CA_FILE")) {
      Gateway.trust(Path.of(env.get("SPARK_CONNECT_CA_FILE")));
    }
    TokenSource tokens = TokenSource.fromEnvironment(env);
    Gateway gateway = new Gateway(address, tls, tokens);
    SparkSession spark;
    if (List.of(arguments).contains("--url-token")) {
      String url = gateway.url(team, environment, user) + ";token=" + tokens.token();
      spark = new SparkSession.Builder().remote(url).create();
    } else {
      spark = gateway.connect(team, environment, user, "java-example");
    }
    try {
      System.out.println("Connected to Spark " + spark.version());
      System.out.println("count: " + spark.range(1_000).count());
      List<Row> rows =
          spark
              .sql(
                  "SELECT id, repeat(sha2(cast(id AS string), 256), 15) AS text FROM range("
                      + ROWS
                      + ")")
              .collectAsList();
      long bytes = rows.stream().mapToLong(row -> row.getString(1).length()).sum();
      System.out.println("rows: " + rows.size() + ", bytes: " + bytes);
      if (bytes < (long) ROWS * ROW_BYTES * 9 / 10) {
        throw new IllegalStateException("Some of the result is missing.");
      }
    } finally {
      spark.close();
    }
  }
}
