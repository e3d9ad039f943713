#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kernels::test {

/// One opening tag of a document, with its attributes as a reader gets them.
struct XmlTag {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  ///< directly after the tag, up to the next one
};

/// Reads XML strictly, apart from the rest of the program: well-formed UTF-8 and characters of XML 1.0 only,
/// tags that close each other, attributes in double quotes and once each, no other entities than numbers.
/// `complaint` is empty if all is well.
struct XmlDocument {
  std::vector<XmlTag> tags;
  std::string complaint;
};
XmlDocument read_xml(std::string_view text);

}  // namespace kernels::test
