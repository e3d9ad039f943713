// Liars for other programs: one faulty Hub for each named lie, all in front of the server on the port that is
// given. Prints a line `<name> <url>` for each, then answers each line `<name>` on its input with the number
// of requests that were led to another port, and of those among them that brought a token. Ends with its
// input.

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "support/faulty_hub.h"

using namespace kernels::test;

namespace {

struct Liar {
  Liar(int upstream, const Fault& fault) : hub(upstream), other(upstream) {
    auto made = fault;
    for (auto& [name, value] : made.lie.headers)
      for (auto at = value.find("{port}"); at != std::string::npos; at = value.find("{port}"))
        value.replace(at, 6, std::to_string(other.port()));
    hub.add(std::move(made));
  }
  FaultyHub hub;
  FaultyHub other;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int upstream = std::atoi(argv[1]);
  const std::map<std::string, Lie> lies = {
      {"1", lie::flipped_at(70'000)},
      {"2", lie::shortened_to(500'000)},
      {"3", lie::longer_by(1000)},
      {"4", lie::chunks_of(16 << 20)},
      {"9", lie::status(304, {}, "")},
      {"10", lie::gzip_encoded()},
      {"13", lie::redirect(302, "file:///etc/passwd")},
      {"15", lie::redirect(302, "http://127.0.0.1:{port}{target}")},
      {"16", lie::redirect(302, "http://huggingface.co@127.0.0.1:{port}{target}")},
      {"17", lie::redirect(302, "http://127。0。0。1:{port}{target}")},
      {"19", lie::chunks_and_length()},
      {"20", lie::duplicate_etag("\"0000\"")},
      {"21", lie::redirect_loop()},
  };
  std::map<std::string, std::unique_ptr<Liar>> liars;
  for (const auto& [name, what] : lies) {
    liars[name] = std::make_unique<Liar>(
        upstream, Fault{.method = "GET", .path_pattern = "/resolve/.*weights\\.bin$", .lie = what});
    std::cout << name << ' ' << liars[name]->hub.url() << '\n';
  }
  std::cout << std::endl;
  for (std::string name; std::getline(std::cin, name);) {
    std::size_t requests = 0;
    std::size_t tokens = 0;
    if (liars.contains(name))
      for (const auto& request : liars[name]->other.seen()) {
        ++requests;
        tokens += request.header("authorization").empty() ? 0 : 1;
      }
    std::cout << requests << ' ' << tokens << std::endl;
  }
  return 0;
}
