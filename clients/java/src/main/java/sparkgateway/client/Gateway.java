package sparkgateway.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Map;
import java.util.TreeMap;
import org.apache.spark.sql.connect.SparkSession;
import org.sparkproject.io.grpc.CallOptions;
import org.sparkproject.io.grpc.Channel;
import org.sparkproject.io.grpc.ClientCall;
import org.sparkproject.io.grpc.ClientInterceptor;
import org.sparkproject.io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import org.sparkproject.io.grpc.Metadata;
import org.sparkproject.io.grpc.MethodDescriptor;

/**
 * Sessions through the gateway, with a token for each request.
 *
 * <p>The token is not in the URL: the client would keep the first one for the session's life.
 */
public final class Gateway {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final String address;
  private final boolean tls;
  private final TokenSource tokens;

  /**
   * @param address {@code host} or {@code host:port}
   * @param tls false for a gateway on this machine only
   */
  public Gateway(String address, boolean tls, TokenSource tokens) {
    this.address = address;
    this.tls = tls;
    this.tokens = tokens;
  }

  /** A new session on the drivers of a team; {@code environment}: dev, staging, prod. */
  public SparkSession connect(String team, String environment, String user, String appName) {
    SparkSession.Builder builder =
        new SparkSession.Builder()
            .remote(url(team, environment, user))
            .interceptor(new TokenInterceptor(tokens));
    return builder.appName(appName).create();
  }

  /** Headers are parameters of the URL; {@code config("spark.connect.grpc.header…")} sends nothing. */
  String url(String team, String environment, String user) {
    Map<String, String> parameters = new TreeMap<>();
    parameters.put("use_ssl", Boolean.toString(tls));
    parameters.put("user_id", user);
    parameters.put("x-doordash-team", team);
    parameters.put("x-doordash-environment", environment);
    parameters.put("x-doordash-user", user);
    StringBuilder url = new StringBuilder("sc://").append(address).append("/");
    parameters.forEach(
        (name, value) -> url.append(';').append(name).append('=').append(encoded(value)));
    return url.toString();
  }

  private static String encoded(String value) {
    return URLEncoder.encode(value, StandardCharsets.UTF_8).replace("+", "%20");
  }

  /**
   * Believes the authorities of a PEM file, and no others, in this process. To be called before the first
   * connection: the client asks Java's default trust store, which is made once.
   */
  public static void trust(Path pem) throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    int count = 0;
    try (InputStream input = Files.newInputStream(pem)) {
      for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(input)) {
        store.setCertificateEntry("authority-" + count++, one);
      }
    }
    if (count == 0) {
      throw new IOException(pem + " holds no certificate in PEM form.");
    }
    Path file = Files.createTempFile("authorities-", ".p12");
    file.toFile().deleteOnExit();
    // Nothing in it is secret; Java wants a password.
    char[] password = "changeit".toCharArray();
    try (OutputStream output = Files.newOutputStream(file)) {
      store.store(output, password);
    }
    System.setProperty("javax.net.ssl.trustStore", file.toString());
    System.setProperty("javax.net.ssl.trustStorePassword", new String(password));
    System.setProperty("javax.net.ssl.trustStoreType", "PKCS12");
  }

  /** Asks for a token at each request: also at those that take up a result again. */
  private record TokenInterceptor(TokenSource tokens) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<Q, A>(next.newCall(method, options)) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          headers.discardAll(AUTHORIZATION);
          headers.put(AUTHORIZATION, "Bearer " + tokens.token());
          super.start(listener, headers);
        }
      };
    }
  }
}
