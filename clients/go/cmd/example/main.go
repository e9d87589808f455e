// Command example connects, counts, and fetches a result that is larger than gRPC's 4 MiB for Go.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"spark-connect-gateway/clients/go/gateway"
)

const rows = 20_000

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	tokens, err := gateway.TokenFromEnvironment()
	if err != nil {
		return err
	}
	spark, err := gateway.Connect(ctx, gateway.Config{
		Address:     env("SPARK_CONNECT_GATEWAY", "localhost:15002"),
		Team:        env("SPARK_CONNECT_TEAM", "data"),
		Environment: env("SPARK_CONNECT_ENV", "staging"),
		User:        env("SPARK_CONNECT_USER", os.Getenv("USER")),
		Tokens:      tokens,
		CAFile:      os.Getenv("SPARK_CONNECT_CA_FILE"),
		Plaintext:   os.Getenv("SPARK_CONNECT_TLS") == "false",
	})
	if err != nil {
		return err
	}
	defer func() { _ = spark.Stop() }()

	counted, err := spark.Sql(ctx, "SELECT version() AS version, count(*) AS count FROM range(1000)")
	if err != nil {
		return err
	}
	first, err := counted.Collect(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Connected to Spark %v\ncount: %v\n", first[0].Value("version"), first[0].Value("count"))

	// One partition, so that it comes in batches as large as Spark makes them.
	large, err := spark.Sql(ctx, fmt.Sprintf(
		"SELECT /*+ COALESCE(1) */ id, repeat(sha2(cast(id AS string), 256), 15) AS text FROM range(%d)", rows))
	if err != nil {
		return err
	}
	got, err := large.Collect(ctx)
	if err != nil {
		return err
	}
	bytes := 0
	for _, row := range got {
		bytes += len(row.Value("text").(string))
	}
	fmt.Printf("rows: %d, bytes: %d\n", len(got), bytes)
	if len(got) != rows || bytes != rows*64*15 {
		return fmt.Errorf("some of the result is missing")
	}
	return nil
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
