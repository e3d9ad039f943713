#include "kernels/hub/retry.h"

#include "support/catch.h"

using namespace kernels::hub;
using namespace std::chrono_literals;

namespace {
ResponseHead head_of(int status, const std::multimap<std::string, std::string>& headers = {}) {
  return {.status = status, .headers = headers, .url = "https://h"};
}
}  // namespace

TEST_CASE("retry: the waits without advice are 1, 2, 4, 8, 8 seconds", "[hub]") {
  std::vector<std::chrono::milliseconds> waits;
  for (int n = 1; n <= 7; ++n)
    waits.push_back(*retry_delay(n, std::nullopt));
  CHECK(waits == std::vector<std::chrono::milliseconds>{1s, 2s, 4s, 8s, 8s, 8s, 8s});
  CHECK(retry_delay(1, head_of(503)) == 1s);
  CHECK(retry_delay(0, std::nullopt) == 1s);
}

TEST_CASE("retry: the server's advice, one second added", "[hub]") {
  struct Row {
    const char* name;
    int status;
    const char* limit;
    const char* after;
    int seconds;
  };
  auto row = GENERATE(values<Row>({
      {"a limit that is used up", 429, "\"resolvers\";r=0;t=3", nullptr, 4},
      {"a limit that is not used up, and Retry-After", 429, "\"resolvers\";r=5;t=3", "7", 8},
      {"Retry-After on 503", 503, nullptr, "2", 3},
      {"a used-up limit on 503 says nothing", 503, "\"resolvers\";r=0;t=30", nullptr, 4},
      {"the limit before Retry-After", 429, "\"api\";r=0;t=20", "7", 21},
      {"a date", 429, nullptr, "Wed, 21 Oct 2026 07:28:00 GMT", 4},
      {"nothing", 429, nullptr, nullptr, 4},
      {"no wait at all", 429, nullptr, "0", 1},
      {"a broken limit", 429, "api;r=0;t=5", nullptr, 4},
  }));
  INFO(row.name);
  std::multimap<std::string, std::string> headers;
  if (row.limit != nullptr) headers.emplace("ratelimit", row.limit);
  if (row.after != nullptr) headers.emplace("retry-after", row.after);
  CHECK(retry_delay(3, head_of(row.status, headers)) == std::chrono::seconds(row.seconds));
}

TEST_CASE("retry: a wait that is too long is not waited for", "[hub]") {
  CHECK_FALSE(retry_delay(1, head_of(429, {{"retry-after", "300"}})));
  CHECK(retry_delay(1, head_of(429, {{"retry-after", "299"}})) == 300s);
  CHECK(retry_delay(1, head_of(429, {{"retry-after", "9"}}), 10s) == 10s);
  CHECK_FALSE(retry_delay(1, head_of(429, {{"ratelimit", "\"api\";r=0;t=999999999"}})));
}

TEST_CASE("retry: what another try may better", "[hub]") {
  for (int status : {408, 429, 500, 502, 503, 504})
    CHECK(is_transient(status));
  for (int status : {0, 200, 206, 301, 304, 400, 401, 403, 404, 409, 416, 501, 505, 507})
    CHECK_FALSE(is_transient(status));
}

TEST_CASE("rate limit: the header's form", "[hub]") {
  struct Row {
    const char* text;
    int remaining;  ///< -1: ignored
    int reset;
  };
  auto row = GENERATE(values<Row>({
      {"\"resolvers\";r=0;t=3", 0, 3},
      {"\"api\";r=0;t=55", 0, 55},
      {"\"api\"; r = 0 ; t = 7", 0, 7},
      {"\"api\";t=7;r=1;q=5", 1, 7},
      {"\"a;b\";r=2;t=9", 2, 9},
      {"api;r=0;t=5", -1, 0},
      {"\"\";r=0;t=5", -1, 0},
      {"\"api\"", -1, 0},
      {"\"api\";r=0", -1, 0},
      {"\"api\";t=5", -1, 0},
      {"\"api\";r=-1;t=5", -1, 0},
      {"\"api\";r=0;t=1.5", -1, 0},
      {"\"api\";r=0;t=99999999999999999999", -1, 0},
      {"\"api;r=0;t=5", -1, 0},
      {"", -1, 0},
      {";;;", -1, 0},
  }));
  CAPTURE(row.text);
  auto limit = parse_rate_limit(row.text);
  REQUIRE(limit.has_value() == (row.remaining >= 0));
  if (!limit) return;
  CHECK(limit->remaining == static_cast<std::uint64_t>(row.remaining));
  CHECK(limit->reset == std::chrono::seconds(row.reset));
}

TEST_CASE("retry after: whole seconds with blanks around them, nothing else", "[hub]") {
  CHECK(parse_retry_after("120") == 120s);
  CHECK(parse_retry_after("0") == 0s);
  CHECK(parse_retry_after(" 42 ") == 42s);
  for (const char* text :
       {"-5", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "", " ", "5s", "+5", "0x10", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_retry_after(text));
  }
}

TEST_CASE("link: the address of the next page, as it stands there", "[hub]") {
  struct Row {
    const char* header;
    const char* next;
  };
  auto row = GENERATE(values<Row>({
      {"<https://huggingface.co/api/kernels/a/b/tree/main?recursive=true&limit=1000&cursor=ZXlK%3D%3A1000>; "
       "rel=\"next\"",
       "https://huggingface.co/api/kernels/a/b/tree/main?recursive=true&limit=1000&cursor=ZXlK%3D%3A1000"},
      {"<https://h/x?p=1>; rel=\"prev\", <https://h/x?p=3>; rel=\"next\"", "https://h/x?p=3"},
      {"<https://h/x>; rel=next", "https://h/x"},
      {"</api/x?cursor=2>; rel=\"next\"", "/api/x?cursor=2"},
      {"<https://h/a,b?c=1>; rel=\"next\"", "https://h/a,b?c=1"},
      {"<https://h/x>; title=\"a\"; rel=\"next\"", "https://h/x"},
      {"<https://h/x>; title=\"a,b;c\"; rel=\"next\"", "https://h/x"},
      {"<https://h/t>; rel=\"xet-auth\", <https://cas/r>; rel=\"xet-reconstruction-info\"", ""},
      {"", ""},
      {"<https://h/x>", ""},
      {"https://h/x; rel=\"next\"", ""},
      {"<https://h/x; rel=\"next\"", ""},
      {"<>; rel=\"next\"", ""},
      {",,;;<", ""},
  }));
  CAPTURE(row.header);
  CHECK(next_link(row.header).value_or("") == row.next);
}
