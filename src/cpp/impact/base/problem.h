#pragma once

#include <string>
#include <utility>

namespace impact
{

/** What is wrong or doubtful, and what to do about it. */
struct Problem
{
  /** For programs; docs/checking.md says what each is. */
  enum class Kind
  {
    Value,
    Count,
    MissingParameter,
    Mismatch,
    UnknownParameter,
    Unused,
    Component,
    MissingFile,
    Model,
    Memory,
    Machine,
    Image
  };

  Kind        kind;
  std::string text;   // what is wrong, in whole sentences
  std::string remedy; // what to do, likewise; may be empty
  std::string path;   // the model file it is about; may be empty

  Problem(Kind whatKind, std::string whatIsWrong, std::string whatToDo = {}, std::string ofModel = {})
    : kind(whatKind)
    , text(std::move(whatIsWrong))
    , remedy(std::move(whatToDo))
    , path(std::move(ofModel))
  {}

  /** Text and remedy. */
  std::string
  whole() const
  {
    return remedy.empty() ? text : text + " " + remedy;
  }
};

/** A word such as "missing-file". */
std::string toString(Problem::Kind kind);

} // namespace impact
