//go:build tools

// Package binaries names the programs that the tests of Kubernetes run.
package binaries

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
