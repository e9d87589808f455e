// Package gateway connects spark-connect-go to Spark through the gateway.
//
// The client's own builder speaks TLS only with a token in the URL and only to authorities that the system
// knows, keeps the first token for the session's life, receives messages of at most 4 MiB, and drops a parameter
// whose value has an equals sign. This one does not.
package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/apache/spark-connect-go/spark/client/channel"
	"github.com/apache/spark-connect-go/spark/sql"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	defaultPort = "15002"
	// As PySpark and the JVM client have it. Spark's own batches are up to 10 MiB, and a wide row may be larger.
	maxMessageBytes = 128 << 20
)

// A TokenSource gives a token that is good now, without "Bearer". It is called for each request.
type TokenSource func(ctx context.Context) (string, error)

// Config says where to connect and as whom.
type Config struct {
	// Address is host or host:port.
	Address string
	Team    string
	// Environment is dev, staging or prod.
	Environment string
	// User is for the audit log; who calls is what the token says.
	User string
	// Tokens is asked for each request; nil for a gateway that wants none.
	Tokens TokenSource
	// CAFile is a PEM file of a private authority; empty: those that the system knows.
	CAFile string
	// Plaintext is for a gateway on this machine only.
	Plaintext bool
}

// Connect begins a session. Stop it when it is no longer needed.
func Connect(ctx context.Context, config Config) (sql.SparkSession, error) {
	return sql.NewSessionBuilder().WithChannelBuilder(&builder{config, uuid.NewString()}).Build(ctx)
}

// TokenFromEnvironment uses SPARK_CONNECT_TOKEN, else the file SPARK_CONNECT_TOKEN_FILE, which is read anew for
// each request.
func TokenFromEnvironment() (TokenSource, error) {
	if token := strings.TrimSpace(os.Getenv("SPARK_CONNECT_TOKEN")); token != "" {
		return func(context.Context) (string, error) { return token, nil }, nil
	}
	if file := os.Getenv("SPARK_CONNECT_TOKEN_FILE"); file != "" {
		return func(context.Context) (string, error) {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", fmt.Errorf("the token file cannot be read: %w", err)
			}
			return strings.TrimSpace(string(text)), nil
		}, nil
	}
	return nil, errors.New("no token: set SPARK_CONNECT_TOKEN or SPARK_CONNECT_TOKEN_FILE")
}

type builder struct {
	config    Config
	sessionID string
}

var _ channel.Builder = (*builder)(nil)

func (b *builder) Build(context.Context) (*grpc.ClientConn, error) {
	transport, err := b.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
	}
	if b.config.Tokens != nil {
		options = append(options, grpc.WithPerRPCCredentials(
			perRPC{b.config.Tokens, !b.config.Plaintext}))
	}
	address := b.config.Address
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
	}
	return grpc.NewClient(address, options...)
}

func (b *builder) transport() (credentials.TransportCredentials, error) {
	if b.config.Plaintext {
		host := b.config.Address
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, fmt.Errorf("without TLS a token would be read on the way to %s", host)
		}
		return insecure.NewCredentials(), nil
	}
	if b.config.CAFile == "" {
		return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), nil
	}
	pem, err := os.ReadFile(b.config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("the CA file cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA file %s holds no certificate in PEM form", b.config.CAFile)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}), nil
}

func (b *builder) User() string { return b.config.User }

func (b *builder) Headers() map[string]string {
	headers := map[string]string{}
	for name, value := range map[string]string{
		"x-doordash-team":        b.config.Team,
		"x-doordash-environment": b.config.Environment,
		"x-doordash-user":        b.config.User,
	} {
		if value != "" {
			headers[name] = value
		}
	}
	return headers
}

func (b *builder) SessionId() string { return b.sessionID }

func (b *builder) UserAgent() string {
	return fmt.Sprintf("_SPARK_CONNECT_GO os/%s go/%s", runtime.GOOS, runtime.Version())
}

type perRPC struct {
	tokens    TokenSource
	secretive bool
}

func (p perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := p.tokens(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (p perRPC) RequireTransportSecurity() bool { return p.secretive }
