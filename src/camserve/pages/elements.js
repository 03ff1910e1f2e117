"use strict";
// Return a new element with a class, attributes and children; texts are never markup.
function element(name, properties = {}, ...children) {
  const { className, ...attributes } = properties;
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
