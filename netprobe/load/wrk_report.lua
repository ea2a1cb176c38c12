-- Prints the result of wrk for a program to parse: the totals, then the distribution of latencies, one "us count" per line.
done = function(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format("netprobe-load %d requests %d us %d bytes %d connect %d read %d write %d status %d timeout\n",
      summary.requests, summary.duration, summary.bytes,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
   for index = 1, #latency do
      local us, count = latency(index)
      io.write(string.format("netprobe-latency %d %d\n", us, count))
   end
end
