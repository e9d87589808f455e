# The image of the chart spark-gateway and of k8s/: every role but `start`, which needs Envoy, Spark and
# Python beside it.
#   docker build -t spark-gateway:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t spark-gateway:0.1.0 .
# A base by its digest: --build-arg NODE_IMAGE=node@sha256:…
ARG NODE_IMAGE=node:24-bookworm-slim

# The driver fence, by the Scala compiler of a Spark; it is for every Spark from 3.5 on.
FROM --platform=$BUILDPLATFORM apache/spark:4.0.1 AS fence
USER root
COPY fence/DriverFence.scala /fence/
RUN java -cp '/opt/spark/jars/*' scala.tools.nsc.Main -usejavacp -d /fence/driver-fence.jar /fence/DriverFence.scala

# What is built is the same for every platform, so it is built on that of the builder.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /app
# Dependencies first: a change of sources alone installs nothing.
COPY package.json package-lock.json .npmrc ./
COPY scripts ./scripts
RUN node scripts/build.js --packages-only
COPY . .
RUN node scripts/build.js && npm prune --omit=dev && chmod +x build/src/main.js
# k8s/ and the documentation name the command alone.
RUN mkdir -p /app/bin && ln -s /app/build/src/main.js /app/bin/spark-gateway

FROM ${NODE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="spark-gateway" \
      org.opencontainers.image.description="One front door for Spark Connect" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
ENV NODE_ENV=production PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/gen/es ./gen/es
COPY --from=build /app/envoy ./envoy
COPY --from=build /app/build/src ./build/src
COPY --from=build /app/bin ./bin
COPY --from=fence /fence/driver-fence.jar ./build/fence/
# By number, so that runAsNonRoot can see that it is not root. Nothing is written below /app, and no
# shell is run: the root file system may be read-only.
USER 1000:1000
EXPOSE 9090 9091 18000 18001
# What is under way is copied at each collection of garbage: there are fewer with 16 MiB for new objects.
ENTRYPOINT ["node", "--min-semi-space-size=16", "/app/build/src/main.js"]
