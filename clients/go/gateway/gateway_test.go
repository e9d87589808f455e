package gateway

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestTokenFileIsReadForEachRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	t.Setenv("SPARK_CONNECT_TOKEN", "")
	t.Setenv("SPARK_CONNECT_TOKEN_FILE", file)
	tokens, err := TokenFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		metadata, err := perRPC{tokens, true}.GetRequestMetadata(context.Background())
		if err != nil || metadata["authorization"] != "Bearer "+want {
			t.Fatalf("got %v, %v; want %s", metadata, err, want)
		}
	}
}

func TestPlaintextIsForThisMachineOnly(t *testing.T) {
	for address, ok := range map[string]bool{
		"localhost:1": true, "127.0.0.1": true, "[::1]:1": true, "spark.example.com:15002": false,
	} {
		_, err := (&builder{config: Config{Address: address, Plaintext: true}}).transport()
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestHeaderValuesAreNotParsed(t *testing.T) {
	headers := (&builder{config: Config{Team: "a=b;c", Environment: "dev"}}).Headers()
	if headers["x-doordash-team"] != "a=b;c" || len(headers) != 2 {
		t.Fatal(headers)
	}
}

func TestACAFileWithoutACertificateIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&builder{config: Config{Address: "h", CAFile: file}}).transport(); err == nil {
		t.Fatal("it was taken")
	}
}
