//go:build tools

// Package grpcurl fixes the version of the program that the tests of clients run.
package grpcurl

import _ "github.com/fullstorydev/grpcurl/cmd/grpcurl"
