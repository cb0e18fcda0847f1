-- SPDX-License-Identifier: MIT
-- Prints wrk's summary as JSON. It has no request or response hook, so it costs wrk nothing
-- while the load runs.
done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        'JSON {"requests": %d, "seconds": %.6f, "bytes": %d, "bad_status": %d, ' ..
        '"failed_connect": %d, "failed_read": %d, "failed_write": %d, "timeouts": %d, ' ..
        '"latency_us": {"p50": %.1f, "p90": %.1f, "p99": %.1f, "p99.9": %.1f, "max": %.1f, "mean": %.1f}}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, errors.status,
        errors.connect, errors.read, errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(90), latency:percentile(99),
        latency:percentile(99.9), latency.max, latency.mean))
end
