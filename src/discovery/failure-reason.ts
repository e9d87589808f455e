/** Why a Spark driver ended, in one line, from how it ended and the end of its log. */

const LONGEST = 300;

const causes: readonly (readonly [RegExp, string])[] = [
  [/Address already in use|java\.net\.BindException/, 'its port is already in use'],
  [/Cannot assign requested address/, 'its loopback address does not exist on this machine'],
  [/OutOfMemoryError/, 'it ran out of memory: give drivers more'],
  [
    /insufficient memory for the Java Runtime|Could not reserve enough space|Cannot allocate memory/,
    'the machine has too little free memory for its Java heap',
  ],
  [/No space left on device/, 'the disk is full'],
  [
    /UnsupportedClassVersionError|Unrecognized option: --add-opens/,
    'this Java is too old for this Spark (Spark 4 needs Java 17): set JAVA_HOME',
  ],
  [
    /Could not find or load main class|ClassNotFoundException: org\.apache\.spark\.sql\.connect/,
    'SPARK_HOME has no Spark Connect server: use Spark 4, or add the spark-connect jar to its jars folder',
  ],
];

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `exit` is undefined for a process whose end nobody could wait for. */
export function failureReason(logTail: string, exit: ExitStatus | undefined): string {
  const cause = causes.find(([pattern]) => pattern.test(logTail))?.[1];
  const how =
    exit?.signal != null
      ? `ended by ${exit.signal}`
      : exit?.code != null
        ? `ended with exit code ${exit.code}`
        : 'ended';
  if (cause !== undefined) return `The driver ${how}: ${cause}.`;
  const line = lastErrorLine(logTail);
  if (line !== undefined) return `The driver ${how}: ${line}`;
  if (exit?.signal === 'SIGKILL') return `The driver ${how}, perhaps for want of memory.`;
  return `The driver ${how}.`;
}

function lastErrorLine(logTail: string): string | undefined {
  const line = logTail
    .split('\n')
    .findLast((text) => /\b(ERROR|Error|Exception)\b|Exception:|Error:/.test(text))
    ?.trim();
  return line !== undefined && line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}
