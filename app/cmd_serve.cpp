#include "commands.h"
#include "serve.h"

namespace kernels::app {

Command add_serve(CLI::App& root) {
  auto line = std::make_shared<ServeLine>();
  auto* command = new_command(root, "serve", "Serve a cache as a read-only Hub for this network",
                              "  kernels serve --trusted-publisher acme\n"
                              "  kernels serve /srv/kernels --host 0.0.0.0 --port 8080\n");
  command->add_option("cache", line->cache, "The cache to serve; default: the one in use")
      ->type_name("CACHE");
  command->add_option("--host", line->host, "Address to listen on")
      ->type_name("ADDRESS")
      ->capture_default_str();
  command->add_option("--port", line->port, "Port to listen on; 0: any free one")
      ->type_name("N")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--trusted-publisher", line->trusted, "Organisation that clients may trust; `*`: all")
      ->type_name("ORG");
  command
      ->add_option("--token-file", line->token_file,
                   "Demand the bearer token in this file (or in KERNELS_SERVE_TOKEN) from every client")
      ->type_name("FILE");
  command->add_option("--port-file", line->port_file, "Write the port to this file when ready")
      ->type_name("FILE");
  command->add_flag("--redirects", line->redirects, "Answer file requests with redirects, as the Hub does");
  return {command, [line](App& app) { return run_serve(*line, app); }};
}

}  // namespace kernels::app
