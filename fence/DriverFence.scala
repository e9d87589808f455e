/*
 * The driver's side of the gateway's checks, as a gRPC interceptor of Spark's Connect server
 * (spark.connect.grpc.interceptor.classes, Spark 3.5 to 4.x).
 *
 * authz reads the first bytes of a request; what counts is the message as the driver has parsed it.
 * Here each message's session and user are compared with those that authz allowed, whichever
 * way the client has written them.
 *
 * Compiled by the Scala compiler that Spark ships, so that a Java runtime will do. One jar is for
 * Scala 2.12 and 2.13: nothing of Scala's library is used.
 */
package sparkgateway

import java.nio.charset.StandardCharsets.UTF_8
import java.security.MessageDigest
import java.util.Base64
import org.apache.spark.SparkEnv
import org.sparkproject.connect.google_protos.rpc.ErrorInfo
import org.sparkproject.connect.grpc.{ForwardingServerCall, ForwardingServerCallListener}
import org.sparkproject.connect.grpc.{Metadata, ServerCall, ServerCallHandler, ServerInterceptor, Status}
import org.sparkproject.connect.grpc.protobuf.StatusProto
import org.sparkproject.connect.protobuf.{Any => PackedMessage, Message}

/**
 * Lets a call through if it has the driver's secret, where the driver has one, and each of its
 * messages is of the session and the user that the gateway has checked.
 *
 * Python workers of this driver call it as well (foreachBatch, listeners). They know the secret, but
 * come from no gateway, so that nothing was checked for them. Without a secret nobody is let in so.
 */
class DriverFence extends ServerInterceptor {
  private[this] val authorization: Array[Byte] = DriverFence.authorization()

  override def interceptCall[Req, Resp](
      call: ServerCall[Req, Resp],
      headers: Metadata,
      next: ServerCallHandler[Req, Resp]): ServerCall.Listener[Req] = {
    val identity = headers.get(DriverFence.Identity)
    if (!isAuthorized(headers) || (identity == null && authorization == null)) {
      call.close(
        Status.UNAUTHENTICATED.withDescription("Invalid authentication token"),
        new Metadata())
      return new ServerCall.Listener[Req] {}
    }
    val fenced = new FencedCall[Req, Resp](call)
    val listener = next.startCall(fenced, headers)
    if (identity == null) listener
    else new FencedListener[Req](listener, fenced, DriverFence.decoded(identity))
  }

  private[this] def isAuthorized(headers: Metadata): Boolean = {
    if (authorization == null) return true
    val shown = headers.get(DriverFence.Authorization)
    shown != null && MessageDigest.isEqual(shown.getBytes(UTF_8), authorization)
  }
}

object DriverFence {
  /** Stamped by authz: base64 of `<session_id>/<user_id>`. Envoy drops every client's copy. */
  private[sparkgateway] val Identity: Metadata.Key[String] =
    Metadata.Key.of("x-spark-identity", Metadata.ASCII_STRING_MARSHALLER)
  private[sparkgateway] val Authorization: Metadata.Key[String] =
    Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)

  /** What callers must show; null for a driver without a secret. Found where Spark 4 looks for it. */
  private[sparkgateway] def authorization(): Array[Byte] = {
    val set = SparkEnv.get.conf.get("spark.connect.authenticate.token", null)
    val token = if (set != null) set else System.getenv("SPARK_CONNECT_AUTHENTICATE_TOKEN")
    if (token == null || token.isEmpty) null else ("Bearer " + token).getBytes(UTF_8)
  }

  /** null, which fits no message, for what is no base64. */
  private[sparkgateway] def decoded(identity: String): String =
    try new String(Base64.getDecoder.decode(identity), UTF_8)
    catch { case _: IllegalArgumentException => null }

  /** `<session_id>/<user_id>` of a request; null for a message without these fields. */
  private[sparkgateway] def identityOf(message: AnyRef): String = {
    val session = fieldOf(message, "session_id")
    val user = fieldOf(fieldOf(message, "user_context"), "user_id")
    if (session == null || user == null) null
    else session.toString.concat("/").concat(user.toString)
  }

  private[this] def fieldOf(value: AnyRef, name: String): AnyRef =
    if (!value.isInstanceOf[Message]) null
    else {
      val message = value.asInstanceOf[Message]
      val field = message.getDescriptorForType.findFieldByName(name)
      if (field == null) null else message.getField(field)
    }
}

/** Passes on messages that are of this identity; the first other one ends the call. */
private[sparkgateway] class FencedListener[Req](
    listener: ServerCall.Listener[Req],
    call: FencedCall[Req, _],
    identity: String)
    extends ForwardingServerCallListener.SimpleForwardingServerCallListener[Req](listener) {

  override def onMessage(message: Req): Unit = {
    if (call.isRefused) return
    val found = DriverFence.identityOf(message.asInstanceOf[AnyRef])
    if (found != null && found.equals(identity)) super.onMessage(message)
    else {
      call.refuse("This message is of another session or user than the gateway has checked: " +
        "session_id and user_context must stand once, at its beginning, and be the same in each message of a call.")
      // What it has begun is given up: files that came with former messages of the call.
      super.onCancel()
    }
  }

  override def onHalfClose(): Unit = if (!call.isRefused) super.onHalfClose()

  override def onReady(): Unit = if (!call.isRefused) super.onReady()

  override def onCancel(): Unit = if (!call.isRefused) super.onCancel()

  override def onComplete(): Unit = if (!call.isRefused) super.onComplete()
}

private[sparkgateway] class FencedCall[Req, Resp](call: ServerCall[Req, Resp])
    extends ForwardingServerCall.SimpleForwardingServerCall[Req, Resp](call) {
  @volatile private[this] var refused = false

  def isRefused: Boolean = refused

  def refuse(why: String): Unit = {
    refused = true
    super.close(Status.PERMISSION_DENIED.withDescription(why), new Metadata())
  }

  override def sendHeaders(headers: Metadata): Unit = if (!refused) super.sendHeaders(headers)

  override def sendMessage(message: Resp): Unit = if (!refused) super.sendMessage(message)

  override def close(status: Status, trailers: Metadata): Unit =
    if (!refused) {
      if (!status.isOk) SessionClosed.asChanged(status, trailers)
      super.close(status, trailers)
    }
}

/**
 * The driver has ended a session by itself, by its own timeout. Clients take a session for ended only
 * when its error class is SESSION_CHANGED: after SESSION_CLOSED getOrCreate() returns it for ever.
 */
private[sparkgateway] object SessionClosed {
  private[this] val Details: Metadata.Key[Array[Byte]] =
    Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER)
  private[this] val ErrorClass = "errorClass"

  def asChanged(status: Status, trailers: Metadata): Unit = {
    if (trailers == null || !trailers.containsKey(Details)) return
    val told = StatusProto.fromStatusAndTrailers(status, trailers)
    val changed = told.toBuilder
    var i = 0
    while (i < told.getDetailsCount) {
      val detail = told.getDetails(i)
      if (detail.is(classOf[ErrorInfo])) {
        val info = detail.unpack(classOf[ErrorInfo])
        if ("INVALID_HANDLE.SESSION_CLOSED".equals(info.getMetadataOrDefault(ErrorClass, ""))) {
          val better = info.toBuilder.putMetadata(ErrorClass, "INVALID_HANDLE.SESSION_CHANGED").build()
          changed.setDetails(i, PackedMessage.pack(better))
          trailers.discardAll(Details)
          trailers.put(Details, changed.build().toByteArray)
        }
      }
      i += 1
    }
  }
}
