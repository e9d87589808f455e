# The image of k8s/: every role but `start`, which needs Envoy, Spark and Python beside it.
#   docker build -t spark-gateway:0.1.0 .
FROM node:20.20-bookworm-slim AS build
WORKDIR /app
COPY . .
RUN node scripts/build.js && npm prune --omit=dev

# The driver fence, by the Scala compiler of a Spark; it is for every Spark from 3.5 on.
FROM apache/spark:4.0.1 AS fence
USER root
COPY fence/DriverFence.scala /fence/
RUN java -cp '/opt/spark/jars/*' scala.tools.nsc.Main -usejavacp -d /fence/driver-fence.jar /fence/DriverFence.scala

FROM node:20.20-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/gen/es ./gen/es
COPY --from=build /app/envoy ./envoy
COPY --from=build /app/build/src ./build/src
COPY --from=fence /fence/driver-fence.jar ./build/fence/
# k8s/ names the command alone, and its containers have a read-only root and no privileges.
RUN chmod +x build/src/main.js && ln -s /app/build/src/main.js /usr/local/bin/spark-gateway
USER 1000:1000
EXPOSE 9090 9091 18000 18001
ENTRYPOINT ["spark-gateway"]
