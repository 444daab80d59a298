// Keeps a Node.js server that has no option for its address off the network.
import net from "node:net";

const { listen } = net.Server.prototype;

net.Server.prototype.listen = function (port, ...rest) {
  const ready = rest.filter((argument) => typeof argument === "function");
  return listen.call(this, port, "127.0.0.1", ...ready);
};
