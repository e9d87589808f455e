// npm run test:monitoring: the alerts and the dashboard, by Prometheus's promtool.
//   PROMTOOL   the program; built once when not set
// The last line is the result: "N passed, N failed".
import { runFolder } from './test/folder-suite.js';

await runFolder('monitoring/promtool', { needs: { run: false, alerts: true } });
