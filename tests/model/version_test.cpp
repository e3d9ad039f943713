#include "kernels/model/version.h"

#include <algorithm>
#include <fstream>
#include <random>

#include "support/catch.h"
#include "support/seed.h"

using namespace kernels;

namespace {

std::vector<std::string> split(const std::string& line, char separator) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t end = 0; end != std::string::npos; begin = end + 1) {
    end = line.find(separator, begin);
    out.push_back(line.substr(begin, end == std::string::npos ? end : end - begin));
  }
  return out;
}

/// The rows of one kind of the table that the Python package `packaging` gave
/// (tests/interop/pep440_table.py).
std::vector<std::vector<std::string>> table(const std::string& kind) {
  std::ifstream file(KERNELS_TEST_DATA "/model/pep440.tsv");
  std::vector<std::vector<std::string>> out;
  for (std::string line; std::getline(file, line);) {
    if (auto row = split(line, '\t'); row[0] == kind) out.push_back(std::move(row));
  }
  return out;
}

std::string with_newlines(std::string text) {
  for (auto at = text.find("\\n"); at != std::string::npos; at = text.find("\\n"))
    text.replace(at, 2, "\n");
  return text;
}

}  // namespace

TEST_CASE("version: what `packaging` parses parses, what it refuses is refused", "[model]") {
  auto rows = table("version");
  REQUIRE(rows.size() > 300);
  for (const auto& row : rows) {
    CAPTURE(row[1]);
    auto version = Pep440Version::parse(with_newlines(row[1]));
    CHECK(version.has_value() == (row[2] != "-"));
    if (!version || row[2] == "-") continue;
    CHECK(*version == *Pep440Version::parse(row[2]));
    CHECK(version->str() == row[2]);
  }
}

TEST_CASE("version: the order is that of `packaging`", "[model]") {
  auto rows = table("order");
  REQUIRE(rows.size() > 500);
  for (const auto& row : rows) {
    CAPTURE(row[1], row[2], row[3]);
    auto order = *Pep440Version::parse(row[1]) <=> *Pep440Version::parse(row[3]);
    CHECK((order < 0 ? "<" : order > 0 ? ">" : "=") == row[2]);
  }
}

TEST_CASE("version: the order is total, whatever is compared", "[model]") {
  auto rows = table("version");
  std::vector<Pep440Version> versions;
  for (const auto& row : rows)
    if (row[2] != "-") versions.push_back(*Pep440Version::parse(row[2]));
  std::mt19937_64 random(test::seed());
  std::ranges::shuffle(versions, random);
  auto sorted = versions;
  std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a < b; });
  for (std::size_t i = 1; i < sorted.size(); ++i)
    CHECK_FALSE(sorted[i] < sorted[i - 1]);
}

TEST_CASE("specifier: a set holds the versions that `packaging` says", "[model]") {
  auto rows = table("contains");
  REQUIRE(rows.size() > 1500);
  for (const auto& row : rows) {
    CAPTURE(row[1], row[2]);
    auto set = SpecifierSet::parse(row[1]);
    CHECK(set.has_value() == (row[3] != "-"));
    if (!set || row[3] == "-") continue;
    CHECK(set->contains(*Pep440Version::parse(row[2])) == (row[3] == "yes"));
  }
}

TEST_CASE("specifier: the choice among tags is that of `packaging`", "[model]") {
  auto rows = table("choose");
  REQUIRE(rows.size() > 300);
  for (const auto& row : rows) {
    CAPTURE(row[1], row[2]);
    std::vector<Pep440Version> candidates;
    for (const auto& text : split(row[2], ' '))
      candidates.push_back(*Pep440Version::parse(text));
    auto set = SpecifierSet::parse(row[1]);
    REQUIRE(set);
    auto chosen = set->choose(candidates);
    CHECK((chosen ? candidates[*chosen].str() : "none") == row[3]);
  }
}

TEST_CASE("specifier: the vectors over tags of a repository", "[model]") {
  struct Row {
    const char* set;
    const char* chosen;
  };
  auto row = GENERATE(values<Row>({{">=0.0.2,<0.1.0", "0.0.2"},
                                   {">=0.0.2", "1.0.0"},
                                   {"~=0.0.1", "0.0.2"},
                                   {"==1.0.0", "1.0.0"},
                                   {"==0.1.*", "0.1.0.post1"},
                                   {"!=1.0.0", "0.1.0.post1"},
                                   {"", "1.0.0"},
                                   {">=1.1.0rc0", "2.0.0.dev1"},
                                   {"<0.1", "0.0.2"},
                                   {">=3", "none"}}));
  CAPTURE(row.set);
  std::vector<std::string> tags = {"v0.0.1",    "v0.0.2",      "v0.1.0",      "v1.0.0",
                                   "v1.1.0rc1", "v2.0.0.dev1", "v0.1.0.post1"};
  std::vector<Pep440Version> candidates;
  for (const auto& tag : tags)
    candidates.push_back(*Pep440Version::parse(tag));
  auto chosen = SpecifierSet::parse(row.set)->choose(candidates);
  CHECK((chosen ? candidates[*chosen].str() : "none") == row.chosen);
}

TEST_CASE("specifier: what is no specifier is named with the set that holds it", "[model]") {
  auto set = SpecifierSet::parse(">=0.0.2 && <0.1.0");
  REQUIRE_FALSE(set);
  CHECK(set.error().code() == Errc::invalid_argument);
  CHECK(describe(set.error()).find("reading the specifier `>=0.0.2 && <0.1.0`") != std::string::npos);
  CHECK_FALSE(set.error().hint().empty());
}

TEST_CASE("specifier: equal versions leave the choice to the earlier tag", "[model]") {
  auto set = *SpecifierSet::parse(">=1");
  CHECK(set.choose({*Pep440Version::parse("1.0"), *Pep440Version::parse("1.0.0")}) == 0);
}

TEST_CASE("version: numbers beyond 64 bits and endless releases are refused", "[model]") {
  CHECK_FALSE(Pep440Version::parse("99999999999999999999"));
  CHECK_FALSE(Pep440Version::parse("1.0+é"));
  std::string many = "1";
  for (int i = 0; i < 100; ++i)
    many += ".1";
  CHECK_FALSE(Pep440Version::parse(many));
  // One more than the greatest number must not become the smallest.
  CHECK(*Pep440Version::parse("1.0.post18446744073709551615") > *Pep440Version::parse("1.0"));
  CHECK(*Pep440Version::parse("1.0.dev18446744073709551615") < *Pep440Version::parse("1.0"));
}

TEST_CASE("major and minor: further parts are dropped, anything odd is refused", "[model]") {
  struct Row {
    const char* text;
    const char* expected;
  };
  auto row = GENERATE(values<Row>({{"13.0", "13.0"},
                                   {"13", "13.0"},
                                   {"2.11.0+cu130", "2.11"},
                                   {"2.10", "2.10"},
                                   {"580.65.06", "580.65"},
                                   {"2.36.9000", "2.36"},
                                   {"", ""},
                                   {".", ""},
                                   {"13.", ""},
                                   {".5", ""},
                                   {"a.b", ""},
                                   {"1.2a", ""},
                                   {"-1.0", ""},
                                   {"1.-2", ""},
                                   {"99999999999.0", ""},
                                   {"1.99999999999", ""},
                                   {" 1.0", ""}}));
  CAPTURE(row.text);
  auto version = MajorMinor::parse(row.text);
  CHECK((version ? version->str() : "") == row.expected);
}

TEST_CASE("version branch: `v` and a number without leading zeros, nothing else", "[model]") {
  struct Row {
    const char* branch;
    std::optional<std::uint64_t> number;
  };
  auto row = GENERATE(values<Row>({{"v1", 1},
                                   {"v0", 0},
                                   {"v10", 10},
                                   {"v18446744073709551615", ~std::uint64_t{0}},
                                   {"v18446744073709551616", std::nullopt},
                                   {"v01", std::nullopt},
                                   {"v1_0", std::nullopt},
                                   {"v+3", std::nullopt},
                                   {"v-1", std::nullopt},
                                   {"v 4 ", std::nullopt},
                                   {"v", std::nullopt},
                                   {"v1.0", std::nullopt},
                                   {"version1", std::nullopt},
                                   {"V1", std::nullopt},
                                   {"", std::nullopt},
                                   {"1", std::nullopt}}));
  CAPTURE(row.branch);
  CHECK(version_branch_number(row.branch) == row.number);
}
