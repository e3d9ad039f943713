#include "kernels/cache/blob_store.h"

#include <algorithm>
#include <fstream>
#include <future>
#include <iterator>
#include <random>

#include "support/catch.h"
#include "support/seed.h"
#include "support/temp_folder.h"

using namespace kernels;
using namespace kernels::cache;

namespace {

/// Large enough to be written past the page cache; neither whole blocks nor whole pieces.
constexpr std::size_t kSize = (64 << 20) + 12345;
constexpr std::size_t kPiece = 1 << 20;

std::vector<std::byte> noise(std::size_t size) {
  std::mt19937_64 random(7);
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    auto value = random();
    std::memcpy(out.data() + i, &value, 8);
  }
  return out;
}

/// A store, one blob of a repository, and what became of it.
struct Intake {
  explicit Intake(const std::vector<std::byte>& bytes, const BlobId& blob_id)
      : content(bytes), id(blob_id), layout(folder.path()) {}

  std::shared_ptr<BlobWriter> open(BlobStore& store) {
    auto writer =
        store.open(repo, id, content.size(), [this](Status status) { outcome.set_value(std::move(status)); });
    REQUIRE(writer);
    return *writer;
  }

  Buffer piece(Extent extent) const {
    Buffer out(extent.size());
    out.append(std::span(content).subspan(extent.begin, extent.size()));
    return out;
  }

  /// All of `gap`, in pieces, from the front.
  void send(BlobWriter& writer, Extent gap) const {
    for (auto at = gap.begin; at < gap.end; at += kPiece) {
      Extent extent{.begin = at, .end = std::min<std::uint64_t>(at + kPiece, gap.end)};
      REQUIRE(writer.write(at, piece(extent)));
    }
  }

  bool published_right() const {
    std::ifstream stream(layout.blob(repo, id), std::ios::binary);
    std::string found((std::istreambuf_iterator<char>(stream)), {});
    return found.size() == content.size() && std::memcmp(found.data(), content.data(), found.size()) == 0;
  }

  const std::vector<std::byte>& content;
  BlobId id;
  test::TempFolder folder;
  Layout layout;
  RepoId repo = RepoId::parse("acme/relu").value();
  std::promise<Status> outcome;
};

const std::vector<std::byte>& large() {
  static const auto bytes = noise(kSize);
  return bytes;
}

BlobId name_of(const std::vector<std::byte>& bytes) {
  Hasher hasher(HashAlgorithm::sha256);
  hasher.update(bytes);
  return BlobId::of_sha256(hasher.finish_hex());
}

}  // namespace

TEST_CASE("blob store: a large file that comes in order is published with the right bytes", "[cache]") {
  Intake intake(large(), name_of(large()));
  BlobStore store(intake.layout);
  auto writer = intake.open(store);
  intake.send(*writer, {.begin = 0, .end = kSize});
  REQUIRE(intake.outcome.get_future().get());
  CHECK(intake.published_right());
}

TEST_CASE("blob store: pieces that leave the order in the middle of a large file still make the right bytes",
          "[cache]") {
  auto seed = test::seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Intake intake(large(), name_of(large()));
  BlobStore store(intake.layout);
  auto writer = intake.open(store);
  intake.send(*writer, {.begin = 0, .end = 8 * kPiece});
  std::vector<Extent> rest;
  for (std::uint64_t at = 8 * kPiece; at < kSize;) {
    auto end = std::min<std::uint64_t>(kSize, at + 1 + random() % (3 * kPiece));
    rest.push_back({.begin = at, .end = end});
    at = end;
  }
  std::ranges::shuffle(rest, random);
  for (const auto& extent : rest)
    REQUIRE(writer->write(extent.begin, intake.piece(extent)));
  REQUIRE(intake.outcome.get_future().get());
  CHECK(intake.published_right());
}

TEST_CASE("blob store: one wrong byte in a large file and nothing is published", "[cache]") {
  auto wrong = large();
  wrong[kSize / 2] ^= std::byte{1};
  Intake intake(wrong, name_of(large()));
  BlobStore store(intake.layout);
  auto writer = intake.open(store);
  intake.send(*writer, {.begin = 0, .end = kSize});
  auto outcome = intake.outcome.get_future().get();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == Errc::integrity);
  CHECK_FALSE(std::filesystem::exists(intake.layout.blob(intake.repo, intake.id)));
}

TEST_CASE("blob store: a large file that was left in the middle goes on where it stopped", "[cache]") {
  auto until = GENERATE(std::uint64_t{20 * kPiece}, std::uint64_t{20 * kPiece + 777});
  Intake intake(large(), name_of(large()));
  {
    BlobStore store(intake.layout);
    auto writer = intake.open(store);
    intake.send(*writer, {.begin = 0, .end = until});
  }
  // As if the process had ended: the tail names one that is not there.
  for (const auto& entry : std::filesystem::directory_iterator(intake.layout.blobs(intake.repo))) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(kSize + 16));
    file.write("\xff\xff\xff\x7f\0\0\0\0", 8);
  }
  BlobStore store(intake.layout);
  auto writer = intake.open(store);
  // The queue that the first store let go may be lost, no more.
  CHECK(writer->resumed() + 8 * kPiece >= until);
  for (const auto& gap : writer->missing())
    intake.send(*writer, gap);
  REQUIRE(intake.outcome.get_future().get());
  CHECK(intake.published_right());
}
