/** Spark settings that every driver of the gateway has. Pure. */
import { SPARK_CONNECT_PORT } from '../../model/driver.js';
import { isSpark4, type DriverTemplate } from './template.js';

const LARGEST_MESSAGE_BYTES = 256 * 1024 * 1024;
const ARROW_BATCH_BYTES = 10 * 1024 * 1024;
/** A driver that forgot a session before the gateway does would lose it for no reason. */
const SESSION_TIMEOUT_MS = 24 * 60 * 60 * 1000;

export function sparkConf(template: DriverTemplate): Record<string, string> {
  const { unityCatalog: unity, sessionTimeoutMs = SESSION_TIMEOUT_MS } = template;
  return {
    'spark.connect.grpc.binding.port': String(SPARK_CONNECT_PORT),
    'spark.connect.grpc.maxInboundMessageSize': String(LARGEST_MESSAGE_BYTES),
    'spark.connect.grpc.arrow.maxBatchSize': String(ARROW_BATCH_BYTES),
    ...(isSpark4(template)
      ? { 'spark.connect.session.manager.defaultSessionTimeout': `${sessionTimeoutMs}ms` }
      : {}),
    ...(unity
      ? {
          [`spark.sql.catalog.${unity.catalog}`]: 'io.unitycatalog.spark.UCSingleCatalog',
          [`spark.sql.catalog.${unity.catalog}.uri`]: unity.uri,
        }
      : {}),
    ...template.sparkConf,
  };
}

/** The operator's form of dynamic allocation, the same in both of its kinds. */
export function dynamicAllocation({ dynamicAllocation: wanted }: DriverTemplate) {
  if (!wanted) return undefined;
  const { minExecutors, maxExecutors, initialExecutors, shuffleTrackingTimeoutMs } = wanted;
  return {
    enabled: true,
    shuffleTrackingEnabled: true,
    minExecutors,
    maxExecutors,
    initialExecutors: initialExecutors ?? minExecutors,
    ...(shuffleTrackingTimeoutMs === undefined
      ? {}
      : { shuffleTrackingTimeout: shuffleTrackingTimeoutMs }),
  };
}
