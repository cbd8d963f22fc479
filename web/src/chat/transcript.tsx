/**
 * The messages of the open conversation, kept scrolled to the end while a reply grows unless the reader scrolls away.
 */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { chosenModel, modelInfo } from '../api/models.ts';
import { sendMessage } from './answer.ts';
import { isLoaded, openConversation, openMessages } from './chat-state.ts';
import { MessageView } from './message-view.tsx';

const NEAR_END_PX = 80;

export function Transcript() {
  const scroller = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const messages = openMessages.value;
  const { id } = openConversation.value;
  useLayoutEffect(() => {
    follows.current = true;
  }, [id, messages.length]);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (box && follows.current) box.scrollTop = box.scrollHeight;
  });
  const onScroll = () => {
    const box = scroller.current!;
    follows.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
  };
  return (
    <div
      class="transcript"
      ref={scroller}
      onScroll={onScroll}
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label="Messages"
    >
      {messages.length === 0 ? (
        isLoaded.value && <Welcome />
      ) : (
        <ol class="messages">
          {messages.map((message) => (
            <MessageView key={message.id} message={message} />
          ))}
        </ol>
      )}
    </div>
  );
}

const CHAT_STARTS = [
  'Explain rotary position embeddings to a colleague.',
  'Write a TypeScript function that merges two sorted arrays.',
  'What makes a llama a good companion in the mountains?',
];
const TEXT_STARTS = ['ROMEO:\n', 'To be, or not to be', 'First Citizen:\nBefore we proceed'];

/** What a new conversation says of the model, with beginnings to try. */
function Welcome() {
  const model = chosenModel.value;
  const [isChat, setIsChat] = useState<boolean | null>(null);
  useEffect(() => {
    setIsChat(null);
    if (model === null) return;
    modelInfo(model).then(
      (info) => setIsChat(info.is_chat),
      () => {}, // the first message will say why
    );
  }, [model]);
  if (model === null) return null;
  return (
    <div class="welcome">
      <h1>{isChat === false ? 'Begin a text' : 'What is on your mind?'}</h1>
      <p>
        {isChat === false
          ? `${model} was not trained to chat: it goes on with what you write.`
          : `${model} runs on this machine. Nothing you write leaves it.`}
      </p>
      {isChat !== null && (
        <ul class="starts">
          {(isChat ? CHAT_STARTS : TEXT_STARTS).map((text) => (
            <li key={text}>
              <button type="button" onClick={() => sendMessage(openConversation.value, null, text)}>
                {text.trim()}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
