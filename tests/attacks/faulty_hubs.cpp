// Liars for other programs: one faulty Hub for each named lie, all in front of the server on the port that is
// given. Prints a line `<name> <url>` for each, then answers each line `<name>` on its input with the number
// of requests with a token that were led to another port. Ends with its input.

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
      if (auto at = value.find("{other}"); at != std::string::npos) value.replace(at, 7, other.url());
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
      {"15", lie::redirect(302, "{other}{target}")},
      {"16", lie::redirect(302, "http://huggingface.co@127.0.0.1:1/{target}")},
      {"17", lie::redirect(302, "http://127。0。0。1:1/x")},
      {"19", lie::chunks_and_length()},
      {"20", lie::duplicate_etag("\"0000\"")},
      {"21", lie::redirect_loop()},
      {"22", lie::huge_header()},
  };
  std::map<std::string, std::unique_ptr<Liar>> liars;
  for (const auto& [name, what] : lies) {
    liars[name] = std::make_unique<Liar>(
        upstream, Fault{.method = "GET", .path_pattern = "/resolve/.*weights\\.bin$", .lie = what});
    std::cout << name << ' ' << liars[name]->hub.url() << '\n';
  }
  std::cout << std::endl;
  for (std::string name; std::getline(std::cin, name);) {
    int tokens = 0;
    if (liars.contains(name))
      for (const auto& request : liars[name]->other.seen())
        tokens += request.header("authorization").empty() ? 0 : 1;
    std::cout << tokens << std::endl;
  }
  return 0;
}
