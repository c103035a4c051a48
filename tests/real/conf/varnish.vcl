vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "@BEHIND@"; }
backend dead { .host = "127.0.0.1"; .port = "@DEAD@"; }
sub vcl_recv {
  if (req.url == "/403") { return (synth(403)); }
  if (req.url == "/403-waf") { return (synth(403, "Naughty, not nice!")); }
  if (req.url == "/405") { return (synth(405)); }
  if (req.url == "/429") { return (synth(429, "Too Many Requests")); }
  if (req.url == "/503") { set req.backend_hint = dead; return (pass); }
  if (req.url == "/503-synth") { return (synth(503, "Maintenance")); }
  return (pass);
}
