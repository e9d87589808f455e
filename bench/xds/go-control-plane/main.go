// An xDS server made of go-control-plane, with the same resources as the gateway's one beside it and
// driven the same way: commands on standard input, one JSON line of answer for each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// One snapshot for all nodes.
type everyNode struct{}

func (everyNode) ID(*corev3.Node) string { return "all" }

type store interface {
	cache() cachev3.Cache
	publish(changed int, firstPort uint32) error
}

type snapshotStore struct {
	snapshots cachev3.SnapshotCache
	clusters  []types.Resource
	endpoints []types.Resource
	version   int
}

func (s *snapshotStore) cache() cachev3.Cache { return s.snapshots }

func (s *snapshotStore) publish(changed int, firstPort uint32) error {
	s.version++
	if changed >= 0 {
		s.endpoints[changed] = assignment(changed, firstPort)
	}
	// Every type has its own version, so that clusters are not sent again.
	snapshot, err := cachev3.NewSnapshot("1", map[resourcev3.Type][]types.Resource{
		resourcev3.ClusterType: s.clusters,
	})
	if err != nil {
		return err
	}
	snapshot.Resources[types.Endpoint] = cachev3.NewResources(strconv.Itoa(s.version), s.endpoints)
	return s.snapshots.SetSnapshot(context.Background(), "all", snapshot)
}

type linearStore struct {
	mux       cachev3.MuxCache
	endpoints *cachev3.LinearCache
}

func (s *linearStore) cache() cachev3.Cache { return &s.mux }

func (s *linearStore) publish(changed int, firstPort uint32) error {
	if changed < 0 {
		return nil
	}
	return s.endpoints.UpdateResource(clusterName(changed), assignment(changed, firstPort))
}

const (
	clusters      = 2000
	endpointsEach = 5
	firstPort     = 15002
)

func newStore(kind string) store {
	var clusterList, endpointList []types.Resource
	for i := range clusters {
		clusterList = append(clusterList, cluster(i))
		endpointList = append(endpointList, assignment(i, firstPort))
	}
	if kind == "snapshot" {
		return &snapshotStore{
			snapshots: cachev3.NewSnapshotCache(true, everyNode{}, nil),
			clusters:  clusterList,
			endpoints: endpointList,
		}
	}
	byName := func(list []types.Resource) map[string]types.Resource {
		named := map[string]types.Resource{}
		for _, each := range list {
			named[cachev3.GetResourceName(each)] = each
		}
		return named
	}
	clusterCache := cachev3.NewLinearCache(resourcev3.ClusterType, cachev3.WithInitialResources(byName(clusterList)))
	endpointCache := cachev3.NewLinearCache(resourcev3.EndpointType, cachev3.WithInitialResources(byName(endpointList)))
	return &linearStore{
		endpoints: endpointCache,
		mux: cachev3.MuxCache{
			Classify:      func(request *cachev3.Request) string { return request.GetTypeUrl() },
			ClassifyDelta: func(request *cachev3.DeltaRequest) string { return request.GetTypeUrl() },
			Caches: map[string]cachev3.Cache{
				resourcev3.ClusterType:  clusterCache,
				resourcev3.EndpointType: endpointCache,
			},
		},
	}
}

func clusterName(index int) string { return fmt.Sprintf("spark/sjns-team-%04d-prod", index) }

func cluster(index int) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 clusterName(index),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{
			EdsConfig: &corev3.ConfigSource{
				ResourceApiVersion:    corev3.ApiVersion_V3,
				ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
			},
		},
	}
}

// The load assignment of a cluster; its first endpoint is on the port given.
func assignment(index int, first uint32) *endpointv3.ClusterLoadAssignment {
	var endpoints []*endpointv3.LbEndpoint
	for i := range endpointsEach {
		port := uint32(firstPort)
		if i == 0 {
			port = first
		}
		address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address:       fmt.Sprintf("127.1.1.%d", i+1),
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}}
		endpoints = append(endpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
		})
	}
	return &endpointv3.ClusterLoadAssignment{
		ClusterName: clusterName(index),
		Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: endpoints}},
	}
}

func cpuMicros() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano()/1000 + usage.Stime.Nano()/1000
}

func rssBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func main() {
	kind := flag.String("cache", "linear", "linear or snapshot")
	flag.Parse()
	log.SetOutput(io.Discard)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := newStore(*kind)
	if err := store.publish(-1, 0); err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, serverv3.NewServer(ctx, store.cache(), nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			panic(err)
		}
	}()

	answer := json.NewEncoder(os.Stdout)
	reply := func(value map[string]int64) {
		if err := answer.Encode(value); err != nil {
			panic(err)
		}
	}
	reply(map[string]int64{"port": int64(listener.Addr().(*net.TCPAddr).Port)})
	port := uint32(firstPort)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "usage":
			reply(map[string]int64{"cpuMicros": cpuMicros(), "rssBytes": rssBytes()})
		case "change":
			port++
			if err := store.publish(clusters/2, port); err != nil {
				panic(err)
			}
			reply(map[string]int64{})
		}
	}
}
