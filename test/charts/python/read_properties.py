"""Prints as JSON what java.util.Properties reads from each file: read_properties.py JAR JAVA FILE..."""

import json
import sys

from py4j.java_gateway import JavaGateway

jar, java, *files = sys.argv[1:]
gateway = JavaGateway.launch_gateway(classpath=jar, java_path=java, die_on_exit=True)
jvm = gateway.jvm
read = []
for file in files:
    properties = jvm.java.util.Properties()
    stream = jvm.java.io.FileInputStream(file)
    properties.load(jvm.java.io.InputStreamReader(stream, "UTF-8"))
    stream.close()
    read.append({name: properties.getProperty(name) for name in properties.stringPropertyNames()})
print(json.dumps(read))
gateway.shutdown()
