/** An Envoy that only proxies: what Envoy itself costs. */

/** A driver. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

/** A bootstrap, JSON. The HTTP/2 windows are those of the gateway's Envoy. */
export function plainEnvoy(listenPort: number, drivers: readonly Target[]): string {
  const http2 = {
    initial_stream_window_size: 1 << 20,
    initial_connection_window_size: 1 << 24,
  };
  return JSON.stringify({
    static_resources: {
      listeners: [
        {
          name: 'plain',
          address: socket('127.0.0.1', listenPort),
          filter_chains: [
            {
              filters: [
                {
                  name: 'envoy.filters.network.http_connection_manager',
                  typed_config: {
                    '@type':
                      'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                    stat_prefix: 'plain',
                    codec_type: 'HTTP2',
                    http2_protocol_options: http2,
                    http_filters: [
                      {
                        name: 'envoy.filters.http.router',
                        typed_config: {
                          '@type':
                            'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
                        },
                      },
                    ],
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [
                            { match: { prefix: '/' }, route: { cluster: 'driver', timeout: '0s' } },
                          ],
                        },
                      ],
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'driver',
          type: 'STATIC',
          circuit_breakers: { thresholds: [{ max_requests: 100_000 }] },
          load_assignment: {
            cluster_name: 'driver',
            endpoints: [
              {
                lb_endpoints: drivers.map(({ address, port }) => ({
                  endpoint: { address: socket(address, port) },
                })),
              },
            ],
          },
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: http2 },
            },
          },
        },
      ],
    },
  });
}

function socket(address: string, port: number) {
  return { socket_address: { address, port_value: port } };
}
