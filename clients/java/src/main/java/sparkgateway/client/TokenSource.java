package sparkgateway.client;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Where the token of the next request comes from. Called for each one, from several threads. */
@FunctionalInterface
public interface TokenSource {
  /** A token that is good now, without {@code Bearer}. */
  String token();

  /** Read anew each time, since something else keeps it fresh: a pod's projected token, a sidecar. */
  static TokenSource file(Path path) {
    return () -> {
      try {
        return Files.readString(path).strip();
      } catch (IOException error) {
        throw new UncheckedIOException("The token file " + path + " cannot be read", error);
      }
    };
  }

  /** {@code SPARK_CONNECT_TOKEN}, else the file {@code SPARK_CONNECT_TOKEN_FILE}. */
  static TokenSource fromEnvironment(Map<String, String> environment) {
    String token = environment.get("SPARK_CONNECT_TOKEN");
    if (token != null && !token.isBlank()) {
      return token::strip;
    }
    String file = environment.get("SPARK_CONNECT_TOKEN_FILE");
    if (file != null && !file.isBlank()) {
      return file(Path.of(file));
    }
    throw new IllegalStateException(
        "No token: set SPARK_CONNECT_TOKEN or SPARK_CONNECT_TOKEN_FILE.");
  }
}
