#include <map>

#include "support/catch.h"
#include "verify/cases.h"

using namespace kernels;
using namespace kernels::test;

TEST_CASE("verify: conformance", "[verify]") {
  for (const auto& one : conformance_cases()) {
    auto verdict = verdict_of(one.bundle(), read_file(one.artifact), read_file(one.root),
                              {verify::NamedSigner{.issuer = one.issuer, .name = one.identity}});
    INFO(one.name << ": " << verdict.step << ": " << verdict.reason);
    CHECK((verdict.step == "accepted") == one.accepted);
    UNSCOPED_INFO("");
    printf("%s|%d|%s|%s\n", one.name.c_str(), one.accepted, verdict.step.c_str(), verdict.reason.c_str());
  }
}
