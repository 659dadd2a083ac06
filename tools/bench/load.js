// What k6 runs: one request after the other from a file, each once, arriving at a constant rate whatever the answers take.
import exec from 'k6/execution';
import http from 'k6/http';
import { check } from 'k6';
import { SharedArray } from 'k6/data';

const requests = new SharedArray('requests', () => JSON.parse(open(__ENV.REQUESTS)));

export const options = {
  scenarios: {
    arrivals: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: __ENV.LASTS,
      preAllocatedVUs: 64,
      maxVUs: 256,
    },
  },
  summaryTrendStats: ['p(50)', 'p(95)', 'p(99)', 'max'],
  discardResponseBodies: true,
};

export default function () {
  const request = requests[exec.scenario.iterationInTest];
  if (!request) return; // k6 may begin one iteration more than rate times duration
  const answer = http.post(request.url, request.body, { headers: request.header });
  check(answer, { expected: (a) => a.status === Number(__ENV.STATUS) });
}

export function handleSummary(data) {
  const value = (metric, name) => (data.metrics[metric] ? data.metrics[metric].values[name] : 0);
  return {
    [__ENV.RESULT]: JSON.stringify({
      p50: value('http_req_duration', 'p(50)'),
      p95: value('http_req_duration', 'p(95)'),
      p99: value('http_req_duration', 'p(99)'),
      rate: value('http_reqs', 'rate'),
      requests: value('http_reqs', 'count'),
      expected: value('checks', 'passes'),
      dropped: value('dropped_iterations', 'count'),
    }),
  };
}
